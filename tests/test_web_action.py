"""web/action.py: who may do what at the page, over real connections."""

import asyncio
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
from authority import Authority

from shorewatch.model import utc_now
from shorewatch.people import NAME, remove_person, save_person
from shorewatch.web.action import BODY_BYTES_MAX, COOKIE, Actions
from shorewatch.web.app import Place, serve

WORD = "correct horse 9"


class Door:
    """A page with one user, what was done at it and what was put on record."""

    def __init__(self, client: httpx.AsyncClient, state) -> None:
        self.client, self.state = client, state
        self.done: list[dict[str, object]] = []
        self.audits: list[dict[str, object]] = []
        self.proof = ""

    async def post(self, path, body=None, **headers):
        headers = {"x-shorewatch-proof": self.proof} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        return await self.client.post(f"/api/v1/{path}", json=body or {}, headers=headers)

    async def login(self, name="ali", password=WORD):
        reply = await self.post("login", {"name": name, "password": password})
        if reply.status_code == 200:
            self.proof = reply.json()["proof"]
        return reply

    async def do(self, request):
        if request["alarm"] == "gone":
            raise ValueError("there is no alarm 'gone'")
        self.done.append(dict(request))
        return {"alarm": request["alarm"], "state": "acknowledged"}

    async def audit(self, body):
        self.audits.append(dict(body))

    async def bundle(self, by):
        return f"a zip for {by}".encode()


@asynccontextmanager
async def door(state, **place):
    save_person(state, "ali", WORD, utc_now())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    scheme = "https" if "cert_file" in place else "http"
    url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    stop = asyncio.Event()
    async with httpx.AsyncClient(base_url=url, timeout=20, verify=False) as client:
        found = Door(client, state)
        actions = Actions(state, found.do, found.audit, found.bundle)
        task = asyncio.create_task(
            serve(lambda: {"station": "x"}, listener, stop, Place(actions=actions, **place))
        )
        try:
            yield found
        finally:
            stop.set()
            await task


ACK = {"do": "acknowledge", "alarm": "lid"}


async def test_a_user_logs_in_acts_and_leaves(tmp_path):
    """The deed carries the user's name, whatever the request says; all of it is on record."""
    async with door(tmp_path) as d:
        assert (await d.client.get("/api/v1/session")).json() == {"user": None, "proof": None}
        reply = await d.login()
        cookie = reply.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and "path=/" in cookie
        assert (await d.client.get("/api/v1/session")).json()["user"] == "ali"
        reply = await d.post("do", {**ACK, "by": "somebody else"})
        assert (reply.status_code, reply.json()["state"]) == (200, "acknowledged")
        assert d.done == [{**ACK, "by": "ali"}]
        assert (await d.post("logout")).status_code == 200
        assert (await d.post("do", ACK)).status_code == 401 and len(d.done) == 1
        assert [(a["what"], a["by"]) for a in d.audits] == [("login", "ali"), ("logout", "ali")]


async def test_without_a_session_or_its_proof_nothing_is_done(tmp_path):
    """No cookie, a made-up cookie, a cookie without its proof."""
    async with door(tmp_path) as d:
        assert (await d.post("do", ACK)).status_code == 401
        d.client.cookies.set(COOKIE, "made-up")
        assert (await d.post("do", ACK)).status_code == 401
        d.client.cookies.clear()
        await d.login()
        for proof in ("", "x", "ü"):
            d.proof = proof
            reply = await d.post("do", ACK, x_shorewatch_proof=proof.encode())
            assert reply.status_code == 401, proof
        assert d.done == []


async def test_another_sites_page_does_nothing(tmp_path):
    """A foreign Origin is refused, and so is what a form can send without asking first."""
    async with door(tmp_path) as d:
        await d.login()
        reply = await d.post("do", ACK, origin="https://evil.example")
        assert reply.status_code == 403 and "another site" in reply.json()["error"]
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            reply = await d.post("do", ACK, content_type=kind)
            assert reply.status_code == 415
        assert d.done == []
        own = str(d.client.base_url).rstrip("/")
        assert (await d.post("do", ACK, origin=own)).status_code == 200


async def test_passwords_are_not_guessed_all_at_once(tmp_path):
    """Of many wrong ones at the same moment no more are looked at than one after the other."""
    async with door(tmp_path) as d:
        replies = await asyncio.gather(*(d.login(password=f"wrong {i:04}") for i in range(30)))

        codes = [reply.status_code for reply in replies]
        assert (codes.count(401), codes.count(429)) == (5, 25)
        assert len(d.audits) == 5


async def test_passwords_are_not_guessed(tmp_path):
    """Five wrong ones for a name, then even the right one must wait; each is on record."""
    async with door(tmp_path) as d:
        for _ in range(5):
            reply = await d.login(password="wrong horse 9")
            assert reply.status_code == 401
        reply = await d.login()
        assert reply.status_code == 429 and int(reply.headers["retry-after"]) > 0
        assert "set-cookie" not in reply.headers
        assert [a["what"] for a in d.audits] == ["login-refused"] * 5
        assert all(a["from"] == "127.0.0.1" for a in d.audits)
        text = (await d.login("nobody")).json()["error"]
        assert text == "no such user, or another password"


async def test_a_password_is_not_taken_in_clear_over_a_network(tmp_path):
    """Asked for under another name than a loopback one, over http: nobody can log in."""
    async with door(tmp_path, names=("cls.example",)) as d:
        for host in ("cls.example", "192.0.2.7:8101"):
            body = {"name": "ali", "password": WORD}
            reply = await d.client.post("/api/v1/login", json=body, headers={"host": host})
            assert reply.status_code == 403 and "over https" in reply.json()["error"]
            assert "set-cookie" not in reply.headers
        assert d.audits == []


async def test_over_tls_anybody_may_log_in_from_anywhere(tmp_path):
    """The cookie is then for https alone."""
    pair = Authority(tmp_path).issue("cls.example")
    async with door(tmp_path, names=("cls.example",), cert_file=pair[0], key_file=pair[1]) as d:
        body = {"name": "ali", "password": WORD}
        host = {"host": "cls.example"}
        reply = await d.client.post("/api/v1/login", json=body, headers=host)
        assert reply.status_code == 200 and "secure" in reply.headers["set-cookie"].lower()


async def test_a_removed_user_does_nothing_more(tmp_path):
    """An open session ends at its next action; a file that cannot be read refuses, too."""
    async with door(tmp_path) as d:
        await d.login()
        remove_person(tmp_path, "ali")
        reply = await d.post("do", ACK)
        assert reply.status_code == 401 and "no user any more" in reply.json()["error"]
        save_person(tmp_path, "ali", WORD, utc_now())
        await d.login()
        (tmp_path / NAME).write_text("{")
        for reply in (await d.post("do", ACK), await d.login()):
            assert reply.status_code == 503 and "damaged" in reply.json()["error"]
        assert d.done == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"do": "acknowledge", "alarm": "gone"}, 409, "there is no alarm 'gone'"),
        ({"do": "borrow", "board": "beach"}, 400, "`do` must be one of acknowledge"),
        ({"do": "live"}, 400, "`do` must be one of"),
        ({}, 400, "`do` must be one of"),
        ({**ACK, "text": "two\nlines"}, 400, "`text` must be one line"),
        ({**ACK, "text": ["x"]}, 400, "`text` must be one line"),
        ({**ACK, "text": "x" * BODY_BYTES_MAX}, 413, "at most 8000 bytes"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(tmp_path, body, status, words):
    """And reaches nobody: ports, boards and reloads cannot be asked for here."""
    async with door(tmp_path) as d:
        await d.login()
        reply = await d.post("do", body)
        assert (reply.status_code, d.done) == (status, [])
        assert words in reply.json()["error"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 5000])
async def test_garbage_is_refused_in_words(tmp_path, data):
    """Whatever the body is."""
    async with door(tmp_path) as d:
        reply = await d.client.post(
            "/api/v1/login", content=data, headers={"content-type": "application/json"}
        )
        assert reply.status_code == 400 and reply.json()["error"]


async def test_the_support_bundle_is_for_a_named_user(tmp_path):
    """Nobody gets it without a login; who takes it is on record."""
    async with door(tmp_path) as d:
        assert (await d.post("support")).status_code == 401
        await d.login()
        reply = await d.post("support")
        assert (reply.status_code, reply.content) == (200, b"a zip for ali")
        assert reply.headers["content-type"] == "application/zip"
        assert [(a["what"], a["by"]) for a in d.audits] == [("login", "ali"), ("support", "ali")]
