"""Who is logged in at the page, and who must wait to try again. Pure: time is an argument.

A session is 32 random bytes in a cookie; here stands only their hash. It ends an hour after its
last action, 12 hours after the login, with a restart, and when its user is removed. Beside it goes
a second token that a script of ours alone can read and send back: a form of another site cannot.

Limits: 64 sessions, the oldest gives way; 5 wrong passwords a name and 20 altogether in a minute,
then none is looked at until that minute is over.
"""

import hmac
import secrets
from collections import deque
from dataclasses import dataclass
from hashlib import sha256

IDLE_S_MAX = 3600.0
AGE_S_MAX = 12 * 3600.0
SESSIONS_MAX = 64
SPAN_S = 60.0
FAILURES_MAX, FAILURES_ALL_MAX = 5, 20


@dataclass(slots=True)
class Session:
    """One login."""

    user: str
    begun_s: float
    seen_s: float
    proof: str  # what a script of the page sends with each action


class Sessions:
    """All logins of one page."""

    def __init__(self) -> None:
        self._found: dict[bytes, Session] = {}

    def begin(self, user: str, now_s: float) -> tuple[str, Session]:
        """A new session and the token of its cookie."""
        self._forget(now_s)
        if len(self._found) >= SESSIONS_MAX:
            del self._found[min(self._found, key=lambda key: self._found[key].seen_s)]
        token = secrets.token_urlsafe(32)
        session = Session(user, now_s, now_s, secrets.token_urlsafe(16))
        self._found[_hashed(token)] = session
        return token, session

    def look(self, token: str, now_s: float) -> Session | None:
        """The session of a token, if it is one and not over."""
        self._forget(now_s)
        return self._found.get(_hashed(token))

    def act(self, token: str, proof: str, now_s: float) -> Session | None:
        """The session of a token if its proof is right; it is then in use."""
        session = self.look(token, now_s)
        if session is None or not hmac.compare_digest(session.proof.encode(), proof.encode()):
            return None
        session.seen_s = now_s
        return session

    def end(self, token: str) -> None:
        """Log out."""
        self._found.pop(_hashed(token), None)

    def end_all(self, user: str) -> None:
        """Log a user out everywhere."""
        self._found = {key: s for key, s in self._found.items() if s.user != user}

    def _forget(self, now_s: float) -> None:
        self._found = {
            key: session
            for key, session in self._found.items()
            if now_s - session.seen_s < IDLE_S_MAX and now_s - session.begun_s < AGE_S_MAX
        }


class Attempts:
    """Wrong passwords of the last minute."""

    def __init__(self) -> None:
        self._failures: deque[tuple[float, str]] = deque()

    def wait_s(self, name: str, now_s: float) -> float:
        """How long this name must wait until a password of it is looked at again; 0 for not."""
        while self._failures and now_s - self._failures[0][0] >= SPAN_S:
            self._failures.popleft()
        own = [at_s for at_s, failed in self._failures if failed == name]
        waits = [0.0]
        if len(own) >= FAILURES_MAX:
            waits.append(own[-FAILURES_MAX] + SPAN_S - now_s)
        if len(self._failures) >= FAILURES_ALL_MAX:
            waits.append(self._failures[-FAILURES_ALL_MAX][0] + SPAN_S - now_s)
        return max(waits)

    def fail(self, name: str, now_s: float) -> None:
        """A wrong password."""
        self._failures.append((now_s, name))


def _hashed(token: str) -> bytes:
    return sha256(token.encode("utf-8", "replace")).digest()
