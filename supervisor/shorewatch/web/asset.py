"""What of the page does not change while it runs: read, joined and compressed once, then sent.

It is in one language: the pages have their texts, the scripts a module `texts` with all of them.
A browser that has it already is told so (ETag). Answers that do change are compressed by `packed`,
where they are worth it, beside the loop.
"""

import asyncio
import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from shorewatch.texts import Texts
from shorewatch.web.bundle import bundled

WORTH_BYTES = 1000
SCRIPTS = ("page.js", "trend.js", "worker.js")
_STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent: plain and compressed, with its tag."""

    plain: bytes
    small: bytes
    tag: str
    kind: str

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it."""
        headers = {"etag": self.tag, "vary": "accept-encoding", "cache-control": "no-cache"}
        if self.kind == _KINDS[".html"]:
            # Else a browser may freeze a page that is left, and with it a worker's open stream.
            headers["cache-control"] = "no-store"
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        if not takes_gzip(request):
            return Response(self.plain, headers=headers, media_type=self.kind)
        headers["content-encoding"] = "gzip"
        return Response(self.small, headers=headers, media_type=self.kind)


@cache
def assets(texts: Texts) -> dict[str, Asset]:
    """All files of the page by name; of the page's own modules, one script a page and worker."""
    files = {path.name: path.read_bytes() for path in _STATIC.iterdir() if path.suffix in _KINDS}
    modules = {Path(name).stem: data.decode() for name, data in files.items() if ".js" in name}
    modules["texts"] = _module(texts)
    files |= {name: bundled(modules, Path(name).stem).encode() for name in SCRIPTS}
    files |= {
        name: texts.filled(data.decode()).encode()
        for name, data in files.items()
        if name.endswith(".html")
    }
    return {name: _asset(name, data) for name, data in files.items()}


def _module(texts: Texts) -> str:
    """The texts as a module of the page's script."""
    known = {"LANGUAGE": texts.language, "TEXTS": texts.by_key}
    lines = (
        f"export const {name} = {json.dumps(value, ensure_ascii=False, separators=(',', ':'))};"
        for name, value in known.items()
    )
    return "\n".join(lines) + "\n"


def _asset(name: str, data: bytes) -> Asset:
    tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    return Asset(data, gzip.compress(data, 9, mtime=0), tag, _KINDS[Path(name).suffix])


async def packed(request: Request, data: bytes, kind: str = "application/json") -> Response:
    """An answer, compressed if that is taken and worth it."""
    headers = {"vary": "accept-encoding"}
    if len(data) >= WORTH_BYTES and takes_gzip(request):
        data = await asyncio.to_thread(gzip.compress, data, 5)
        headers["content-encoding"] = "gzip"
    return Response(data, headers=headers, media_type=kind)


def takes_gzip(request: Request) -> bool:
    """Whether an answer may be compressed."""
    return "gzip" in request.headers.get("accept-encoding", "")
