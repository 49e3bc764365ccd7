"""web/session.py: logins that end, and attempts that are counted."""

from shorewatch.web.session import (
    AGE_S_MAX,
    FAILURES_ALL_MAX,
    FAILURES_MAX,
    IDLE_S_MAX,
    SESSIONS_MAX,
    SPAN_S,
    Attempts,
    Sessions,
)


def test_a_session_needs_its_token_and_its_proof():
    """The cookie alone shows who is there and does nothing; another's proof is none."""
    sessions = Sessions()
    token, session = sessions.begin("ali", 0.0)
    _, other = sessions.begin("eve", 0.0)
    assert sessions.look(token, 1.0) is session
    assert sessions.act(token, session.proof, 1.0) is session
    assert sessions.act(token, other.proof, 1.0) is None
    assert sessions.act(token, "", 1.0) is None and sessions.act("", session.proof, 1.0) is None
    sessions.end(token)
    assert sessions.look(token, 1.0) is None


def test_a_session_ends_when_nobody_uses_it_and_at_its_age():
    """Looking does not prolong it, acting does, and nothing beyond its greatest age."""
    sessions = Sessions()
    token, session = sessions.begin("ali", 0.0)
    assert sessions.look(token, IDLE_S_MAX - 1) and not sessions.look(token, IDLE_S_MAX)
    token, session = sessions.begin("ali", 0.0)
    now_s = 0.0
    while now_s + IDLE_S_MAX / 2 < AGE_S_MAX:
        now_s += IDLE_S_MAX / 2
        assert sessions.act(token, session.proof, now_s)
    assert sessions.look(token, AGE_S_MAX) is None


def test_the_least_used_session_gives_way():
    """Their number is bounded, whatever comes."""
    sessions = Sessions()
    tokens = [sessions.begin(f"u{i}", float(i))[0] for i in range(SESSIONS_MAX + 1)]
    found = [sessions.look(token, 100.0) is not None for token in tokens]
    assert found == [False] + [True] * SESSIONS_MAX


def test_a_user_can_be_ended_everywhere():
    """All sessions of one, none of another."""
    sessions = Sessions()
    tokens = [sessions.begin(name, 0.0)[0] for name in ("ali", "eve", "ali")]
    sessions.end_all("ali")
    assert [sessions.look(token, 1.0) is not None for token in tokens] == [False, True, False]


def test_wrong_passwords_make_their_name_wait():
    """Five for one name, and others go on; twenty for all; a minute later none."""
    attempts = Attempts()
    for i in range(FAILURES_MAX):
        assert attempts.wait_s("ali", float(i)) == 0.0
        attempts.fail("ali", float(i))
    assert attempts.wait_s("ali", 10.0) == SPAN_S - 10.0
    assert attempts.wait_s("eve", 10.0) == 0.0
    for i in range(FAILURES_ALL_MAX - FAILURES_MAX):
        attempts.fail(f"u{i}", 10.0)
    assert attempts.wait_s("eve", 10.0) > 0
    assert attempts.wait_s("eve", 10.0 + SPAN_S) == attempts.wait_s("ali", 10.0 + SPAN_S) == 0.0
