"""web/bundle.py and web/asset.py: one script from our modules, everything sent small and once."""

import gzip
import shutil
import subprocess

import httpx
import pytest
from test_web import STATIC, page

from shorewatch.texts import english
from shorewatch.web.asset import assets
from shorewatch.web.bundle import bundled


def test_each_module_stands_once_before_who_needs_it():
    """Two that need the same one share it; names go as they were given or renamed."""
    files = {
        "page": 'import { a, b as c } from "./x.js";\nimport { d } from "./y.js";\nrun(a, c, d);\n',
        "x": 'import { d } from "./y.js";\nexport const a = d;\nexport function b() {}\n',
        "y": "export const d = 1;\nconst secret = 2;\n",
        "z": "never();\n",
    }
    found = bundled(files, "page")

    assert [line for line in found.splitlines() if "=> {" in line] == [
        "const $_y = (() => {", "const $_x = (() => {", "const $_page = (() => {",
    ]  # fmt: skip
    assert "const { a, b: c } = $_x;" in found and "return { a, b };" in found
    assert "return { d };" in found and "never" not in found


@pytest.mark.parametrize(
    "line", ['import x from "./x.js";', "export default 1;", "export let a = 1;", "export { a };"]
)
def test_another_form_of_module_is_refused(line):
    """What would be joined wrongly stops the start, not a viewer's script."""
    with pytest.raises(AssertionError, match="another form"):
        bundled({"page": line}, "page")


def test_our_own_modules_are_a_script_that_parses():
    """All that the page needs is in it, and no import is left."""
    script = assets(english())["page.js"].plain.decode()

    assert "EventSource" in script and "alarmCards" in script
    assert not any(line.startswith(("import", "export")) for line in script.splitlines())
    if (node := shutil.which("node")) is not None:
        subprocess.run([node, "--check", "-"], input=script, text=True, check=True)


async def test_what_a_browser_has_is_not_sent_again():
    """By its tag; and what it has not comes compressed where that is taken."""
    async with page() as (client, _):
        first = await client.get("/static/page.js")
        again = await client.get(
            "/static/page.js", headers={"if-none-match": first.headers["etag"]}
        )
        plain = await client.get("/", headers={"accept-encoding": "identity"})

        assert first.headers["content-encoding"] == "gzip"
        assert again.status_code == 304 and again.content == b""
        assert "content-encoding" not in plain.headers
        assert plain.text == english().filled((STATIC / "index.html").read_text())


async def test_a_stream_is_compressed_for_those_who_take_it():
    """Two viewers, one who takes it and one who does not, read the same events."""
    async with page(lambda: {"n": 1, "text": "x" * 5000}) as (client, _):

        async def events(encoding: str) -> list[str]:
            headers = {"accept-encoding": encoding}
            async with client.stream("GET", "/api/v1/stream", headers=headers) as reply:
                assert reply.headers.get("content-encoding") == (
                    "gzip" if encoding == "gzip" else None
                )
                lines = (line async for line in reply.aiter_lines() if line)
                return [await anext(lines) for _ in range(4)]

        plain = await events("identity")
        assert plain[0] == "event: whole" and plain[2] == "event: part"
        assert await events("gzip") == plain


async def test_an_answer_worth_it_is_compressed():
    """A long one is, a short one is not."""
    async with (
        page(lambda: {"text": "x" * 5000}) as (client, _),
        page() as (other, _),
    ):
        long, short = await client.get("/api/v1/status"), await other.get("/api/v1/status")

        assert long.headers["content-encoding"] == "gzip" and len(long.json()["text"]) == 5000
        assert "content-encoding" not in short.headers


async def test_the_first_load_is_small():
    """What the overview asks for but its data, a language's words with it, is under 30 kB."""
    async with page() as (client, _):
        size = 0
        for path in ("/", "/static/page.css", "/static/page.js", "/static/icon.svg"):
            async with client.stream("GET", path) as reply:
                size += len(b"".join([chunk async for chunk in reply.aiter_raw()]))

        assert size < 30_000


def test_a_compressed_asset_is_the_same_asset():
    """Unpacked it is what was packed."""
    assert all(gzip.decompress(asset.small) == asset.plain for asset in assets(english()).values())


async def test_an_unknown_part_is_not_found():
    """With no word of what there is."""
    async with page() as (client, _):
        reply: httpx.Response = await client.get("/static/secret.js")
        assert (reply.status_code, reply.text) == (404, "not found\n")
