"""Headless Chromium, driven over its own debugging pipe: no driver, no port; for tests, too.

Source: Chrome DevTools Protocol, --remote-debugging-pipe: JSON messages ended by a zero byte, read
by the browser from descriptor 3 and written to descriptor 4.
"""

import asyncio
import base64
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --remote-debugging-pipe"
)


class Page:
    """One tab. `errors` collects what its scripts threw and what the console called an error."""

    def __init__(self, reader: asyncio.StreamReader, write_fd: int) -> None:
        self.errors: list[str] = []
        self._reader = reader
        self._write_fd = write_fd
        self._ids = itertools.count(1)
        self._session: str | None = None

    async def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol; returns its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded":
                entry = answer["params"]["entry"]
                self.errors += [entry["text"]] if entry["level"] == "error" else []
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def open(self, url: str, width: int, height: int) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        await self.call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression evaluates to."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; the test's timeout is the limit."""
        while not await self.value(expression):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def screenshot(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


@asynccontextmanager
async def opened(
    chromium: str, url: str, profile: Path, *, width: int = 1280, height: int = 900
) -> AsyncIterator[Page]:
    """A page at `url` in a browser of its own, ended afterwards."""
    browser_in, we_write = os.pipe()
    we_read, browser_out = os.pipe()
    script = f"exec 3<&{browser_in} 4>&{browser_out} {browser_in}<&- {browser_out}>&-; exec "
    script += f"{chromium} {_FLAGS} --user-data-dir={profile}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, pass_fds=(browser_in, browser_out),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(browser_in)
    os.close(browser_out)
    reader = asyncio.StreamReader(limit=50_000_000)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(we_read, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    page = Page(reader, we_write)
    try:
        await page.open(url, width, height)
        yield page
    finally:
        os.close(we_write)
        transport.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
