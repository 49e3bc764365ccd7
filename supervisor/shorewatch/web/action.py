"""What a named user may do at the page: log in, answer alarms, maintenance, log out.

    GET  /api/v1/session   who is logged in: {"user", "proof"}, both null for nobody
    POST /api/v1/login     {"name", "password"}; sets the cookie, answers like /session
    POST /api/v1/logout    ends the session
    POST /api/v1/do        {"do": "acknowledge", "alarm": ...}: what control.py takes of alarms
    POST /api/v1/support   {}: the support bundle (support.py), a zip

A password is taken over TLS or from this machine itself, never in clear over a network. What is
done needs the session's cookie and, in the header X-Shorewatch-Proof, its proof; it comes from our
own page (Origin) as JSON. Everything done is on record with the user's name before it is answered.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shorewatch.control import ControlError, parse_request
from shorewatch.errors import PeopleError
from shorewatch.people import is_password, load_people
from shorewatch.texts import Texts, english
from shorewatch.web.guard import host_of
from shorewatch.web.session import Attempts, Session, Sessions

COOKIE = "shorewatch-session"
PROOF = "x-shorewatch-proof"
BODY_BYTES_MAX = 8_000
VERBS = frozenset({
    "acknowledge", "reset", "shelve", "unshelve", "out-of-service", "in-service", "note",
    "test", "maintenance-begin", "maintenance-end",
})  # fmt: skip

Do = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]
Audit = Callable[[Mapping[str, object]], Awaitable[None]]
Bundle = Callable[[str], Awaitable[bytes]]


class _Refusal(Exception):
    """An answer that is a no: its status and one sentence."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, dict(headers or {})


class Actions:
    """The part of the page's API that changes something."""

    def __init__(
        self, state_dir: Path, do: Do, audit: Audit, bundle: Bundle, texts: Texts | None = None
    ) -> None:
        """`do` answers for the alarms (ValueError refuses); `audit` puts a line on record.

        `bundle` makes the support bundle for a user; refusals of this module are said in `texts`,
        by default in English.
        """
        self._state_dir = state_dir
        self._do = do
        self._audit = audit
        self._bundle = bundle
        self._texts = texts or english()
        self._bundling = asyncio.Semaphore(1)
        self._sessions = Sessions()
        self._attempts = Attempts()
        self._hashing = asyncio.Semaphore(1)  # 64 MB and 50 ms each

    def routes(self) -> list[Route]:
        """Where it is found."""
        handlers = {
            "login": self._login,
            "logout": self._logout,
            "do": self._act,
            "support": self._support,
        }
        return [
            Route("/api/v1/session", self._session, methods=["GET"]),
            *(
                Route(f"/api/v1/{name}", _guarded(handler), methods=["POST"])
                for name, handler in handlers.items()
            ),
        ]

    async def _session(self, request: Request) -> Response:
        found = self._sessions.look(request.cookies.get(COOKIE, ""), time.monotonic())
        return _who(found) if found is not None else JSONResponse({"user": None, "proof": None})

    async def _login(self, request: Request, body: Mapping[str, object]) -> Response:
        name, password = str(body.get("name", ""))[:32], str(body.get("password", ""))[:200]
        if not _is_private(request):
            raise _Refusal(403, self._texts.said("refused.insecure"))
        try:
            people = load_people(self._state_dir)
        except PeopleError as error:
            raise _Refusal(503, str(error)) from error
        async with self._hashing:
            # Looked at in turn: of many at once, each must see how the ones before it failed.
            wait_s = self._attempts.wait_s(name, time.monotonic())
            if wait_s > 0:
                why = self._texts.said("refused.hasty", {"time": f"{wait_s:.0f}"})
                raise _Refusal(429, why, {"retry-after": f"{wait_s:.0f}"})
            is_right = await asyncio.to_thread(is_password, people.get(name), password)
            if not is_right:
                self._attempts.fail(name, time.monotonic())
        who = {"by": name, "from": request.client.host if request.client else "?"}
        if not is_right:
            await self._audit({"what": "login-refused", **who})
            raise _Refusal(401, self._texts.said("refused.login"))
        token, session = self._sessions.begin(name, time.monotonic())
        await self._audit({"what": "login", **who})
        reply = _who(session)
        is_tls = request.url.scheme == "https"
        reply.set_cookie(COOKIE, token, path="/", secure=is_tls, httponly=True, samesite="strict")
        return reply

    async def _logout(self, request: Request, body: Mapping[str, object]) -> Response:
        session = self._acting(request)
        self._sessions.end(request.cookies[COOKIE])
        await self._audit({"what": "logout", "by": session.user})
        reply = JSONResponse({"user": None, "proof": None})
        reply.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return reply

    async def _act(self, request: Request, body: Mapping[str, object]) -> Response:
        session = self._acting(request)
        if body.get("do") not in VERBS:
            raise _Refusal(400, f"`do` must be one of {', '.join(sorted(VERBS))}")
        try:
            done = await self._do({**body, "by": session.user})
        except ValueError as error:
            raise _Refusal(409, str(error)) from error
        except ControlError as error:
            raise _Refusal(409, str(error)) from error
        return JSONResponse(dict(done))

    async def _support(self, request: Request, body: Mapping[str, object]) -> Response:
        session = self._acting(request)
        await self._audit({"what": "support", "by": session.user})
        async with self._bundling:
            data = await self._bundle(session.user)
        headers = {"content-disposition": 'attachment; filename="shorewatch-support.zip"'}
        return Response(data, media_type="application/zip", headers=headers)

    def _acting(self, request: Request) -> Session:
        """The session that acts; raises _Refusal for none, or for a user who is no more."""
        token, proof = request.cookies.get(COOKIE, ""), request.headers.get(PROOF, "")
        session = self._sessions.act(token, proof, time.monotonic())
        if session is None:
            raise _Refusal(401, self._texts.said("refused.session"))
        try:
            is_user = session.user in load_people(self._state_dir)
        except PeopleError as error:
            raise _Refusal(503, str(error)) from error
        if not is_user:
            self._sessions.end_all(session.user)
            raise _Refusal(401, self._texts.said("refused.user", {"name": session.user}))
        return session


_Handler = Callable[[Request, Mapping[str, object]], Awaitable[Response]]


def _guarded(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler of our own page's requests alone; what it refuses becomes an answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request, await _body(request))
        except _Refusal as refusal:
            return JSONResponse({"error": refusal.why}, refusal.status, refusal.headers)

    return guarded


async def _body(request: Request) -> Mapping[str, object]:
    """The JSON that our page sent; raises _Refusal for anything else."""
    origin = request.headers.get("origin")
    if origin is not None and _place(origin) != request.headers.get("host", "").lower():
        raise _Refusal(403, "this came from another site's page: nothing was done")
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _Refusal(415, "send application/json")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise _Refusal(413, f"at most {BODY_BYTES_MAX} bytes")
    try:
        return parse_request(data)
    except ValueError as error:
        raise _Refusal(400, str(error)) from error


def _place(origin: str) -> str:
    return origin.lower().partition("://")[2]


def _is_private(request: Request) -> bool:
    """Whether nobody between the viewer and us can read along."""
    if request.url.scheme == "https":
        return True
    try:
        is_near = (
            request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
        )
        return is_near and _is_here(host_of(request.headers.get("host", "")))
    except ValueError:
        return False


def _is_here(host: str) -> bool:
    """Asked for by a loopback name: a proxy on this machine that serves others asks by another."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _who(session: Session) -> JSONResponse:
    return JSONResponse({"user": session.user, "proof": session.proof})
