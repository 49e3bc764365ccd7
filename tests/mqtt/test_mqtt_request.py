"""request.py: what is believed, and that nothing else is."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shorewatch.config import VERBS, RequesterConfig
from shorewatch.model import to_text
from shorewatch.mqtt.request import (
    BURST,
    EVERY_S,
    IDS_MAX,
    Accepted,
    Judge,
    Refused,
    find_slot,
    key_flaw,
    signature,
)

PREFIX = "shorewatch/v1/trans-caspian/sumqayit"
JOURNAL = "0123456789abcdef" * 2
KEY = "k" * 32
NOW = datetime(2026, 11, 22, 16, 44, tzinfo=UTC)
ARGUMENTS: dict[str, dict[str, object]] = {
    "acknowledge": {"alarm": "lid-open"},
    "shelve": {"alarm": "lid-open", "for_s": 600, "reason": "work"},
    "unshelve": {"alarm": "lid-open"},
    "out-of-service": {"alarm": "lid-open", "reason": "sensor broken"},
    "in-service": {"alarm": "lid-open"},
    "note": {"alarm": "lid-open", "text": "called the guard"},
    "test-alarm": {},
    "replay": {"first": 1, "last": 100},
    "rebirth": {},
}


def requester(identity: str = "noc", **more: object) -> RequesterConfig:
    return RequesterConfig.model_validate({"id": identity, "key_file": "/k", **more})


class Court:
    """A judge, his memory, and a clock."""

    def __init__(self, now, *requesters: RequesterConfig) -> None:  # type: ignore[no-untyped-def]
        self.kept: dict[str, dict[str, object]] = {}
        self.now = now
        self.judge = Judge(PREFIX, JOURNAL, requesters or (requester(),), self.kept)

    def request(self, do: str = "acknowledge", **more: object) -> dict[str, object]:
        expires = to_text(self.now + timedelta(seconds=60))
        head = {"id": "request-0001", "journal": JOURNAL, "expires": expires, "do": do}
        return head | ARGUMENTS[do] | more

    def decide(self, payload: bytes, *, identity: str = "noc", seconds: float = 0):  # type: ignore[no-untyped-def]
        verdict = self.judge.decide(identity, payload, KEY, self.now + timedelta(seconds=seconds))
        if isinstance(verdict, Accepted):
            slot, facts = verdict.keep
            self.kept[slot] = dict(facts)
        return verdict

    def ask(self, do: str = "acknowledge", **more: object):  # type: ignore[no-untyped-def]
        return self.decide(signed(self.request(do, **more)))


def signed(
    request: dict[str, object] | str, *, key: str = KEY, prefix: str = PREFIX, by: str = "noc"
) -> bytes:
    text = request if isinstance(request, str) else json.dumps(request)
    return json.dumps({"request": text, "hmac": signature(key, prefix, by, text)}).encode()


@pytest.fixture
def court(at) -> Court:  # type: ignore[no-untyped-def]
    return Court(at(0))


@pytest.mark.parametrize("do", VERBS)
def test_a_sound_request_is_accepted(court, do) -> None:  # type: ignore[no-untyped-def]
    """Each verb with its arguments, signed with the identity's key, is accepted as its own."""
    verdict = court.ask(do)

    assert isinstance(verdict, Accepted)
    assert (verdict.request.do, verdict.request.arguments, verdict.by) == (
        do,
        ARGUMENTS[do],
        "noc",
    )


def test_a_person_is_named_with_the_identity(court) -> None:  # type: ignore[no-untyped-def]
    """The operator whom a request names acts in the name of its identity, never of himself."""
    assert court.ask(operator="Aysel").by == "Aysel (noc)"


def test_a_signature_is_that_of_the_contract(court) -> None:  # type: ignore[no-untyped-def]
    """The HMAC is over a version, prefix, identity and text, as any HMAC-SHA256 makes it."""
    # Source: printf 'shorewatch-request-1\np\ni\n{}' | openssl dgst -sha256 -hmac key
    assert signature("key", "p", "i", "{}") == (
        "ae6c47c2529a7e46a9754e6cba3d0171f64ef0a3bac1c332f29fadf51617261c"
    )


@pytest.mark.parametrize("do", VERBS)
def test_what_a_verb_takes_it_needs(court, do) -> None:  # type: ignore[no-untyped-def]
    """A verb without one of its arguments, or with one more, is refused by its name."""
    for missing in ARGUMENTS[do]:
        request = court.request(do)
        del request[missing]
        refused = court.decide(signed(request))
        assert isinstance(refused, Refused)
        assert missing in refused.why
    refused = court.ask(do, board="beach")
    assert isinstance(refused, Refused)
    assert "board" in refused.why


@pytest.mark.parametrize(
    ("do", "more"),
    [
        ("shelve", {"for_s": 0}),
        ("shelve", {"for_s": 86_401}),
        ("shelve", {"for_s": "600"}),
        ("shelve", {"reason": ""}),
        ("note", {"text": "\x1b[2J"}),
        ("note", {"text": "x" * 401}),
        ("acknowledge", {"alarm": "../pfe"}),
        ("replay", {"first": 0}),
        ("replay", {"first": 101}),
        ("replay", {"last": 100_001}),
        ("replay", {"first": True}),
        ("replay", {"last": 2**60, "first": 2**60}),
        ("rebirth", {"operator": "a\nb"}),
    ],
)
def test_arguments_have_limits(court, do, more) -> None:  # type: ignore[no-untyped-def]
    """An argument out of its range, or of another type, is refused with a reply."""
    refused = court.ask(do, **more)

    assert isinstance(refused, Refused)
    assert (refused.id, refused.do) == ("request-0001", do)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"key": "x" * 32}, "another key"),
        ({"prefix": "shorewatch/v1/trans-caspian/aktau"}, "another station"),
        ({"by": "owner"}, "another key"),
    ],
)
def test_a_foreign_signature_is_refused_without_a_reply(court, more, why) -> None:  # type: ignore[no-untyped-def]
    """What another key, station or identity signed changes nothing and gets no reply."""
    refused = court.decide(signed(court.request(), **more))

    assert isinstance(refused, Refused)
    assert why in refused.why
    assert refused.id is None


def test_an_id_counts_once(court) -> None:  # type: ignore[no-untyped-def]
    """The same message again changes nothing, and gets no second reply that denies the first."""
    payload = signed(court.request())
    assert isinstance(court.decide(payload), Accepted)

    refused = court.decide(payload)

    assert isinstance(refused, Refused)
    assert "used before" in refused.why
    assert refused.id is None


def test_an_id_is_known_after_the_clock_was_set_back(court) -> None:  # type: ignore[no-untyped-def]
    """A request that was done is not done again when the clock says it has not expired yet."""
    payload = signed(court.request())
    assert isinstance(court.decide(payload), Accepted)
    for number in range(20):
        later = court.request(id=f"later-{number:04}")
        later["expires"] = to_text(court.now + timedelta(seconds=5000))
        assert isinstance(court.decide(signed(later), seconds=4900), Accepted)

    assert "used before" in court.decide(payload).why


def test_ids_of_two_identities_are_two(at) -> None:  # type: ignore[no-untyped-def]
    """Two identities may happen to use one id."""
    court = Court(at(0), requester(), requester("owner"))
    assert isinstance(court.decide(signed(court.request())), Accepted)

    verdict = court.decide(signed(court.request(), by="owner"), identity="owner")

    assert isinstance(verdict, Accepted)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"journal": "f" * 32}, "is for journal"),
        ({"expires": "2026-11-22T16:43:59Z"}, "expired 1 s ago"),
        ({"expires": "2026-11-22T16:54:01Z"}, "601 s ahead"),
        ({"expires": "2026-13-22T16:54:01Z"}, "no time"),
        ({"do": "write-register"}, "asks 'write-register'"),
    ],
)
def test_a_signed_request_may_still_be_wrong(court, change, why) -> None:  # type: ignore[no-untyped-def]
    """Another journal, an expired or far end, and an unknown verb are refused with a reply."""
    refused = court.decide(signed(court.request() | change))

    assert isinstance(refused, Refused)
    assert why in refused.why
    assert refused.id == "request-0001"


def test_without_a_clock_nothing_is_done(court, at) -> None:  # type: ignore[no-untyped-def]
    """While the gateway's clock was never set, no request can be told from an old one."""
    court.now = at(0).replace(year=1970)

    refused = court.ask()

    assert isinstance(refused, Refused)
    assert "clock is not set" in refused.why


def test_who_may_not_is_refused(at) -> None:  # type: ignore[no-untyped-def]
    """A verb that the station file does not give to an identity is refused with a reply."""
    court = Court(at(0), requester(may=["replay"]))
    assert isinstance(court.ask("replay"), Accepted)

    refused = court.ask("shelve", id="request-0002")

    assert isinstance(refused, Refused)
    assert "may not" in refused.why


@pytest.mark.parametrize(
    ("identity", "payload", "is_retained", "why"),
    [
        ("nobody", b"{}", False, "no configured requester"),
        ("noc", b"{}", True, "retained"),
        ("noc", b"x" * 4001, False, "4001 bytes"),
    ],
)
def test_what_is_no_request_is_not_even_judged(court, identity, payload, is_retained, why) -> None:  # type: ignore[no-untyped-def]
    """Unknown identities, retained and oversized messages are refused before any key is read."""
    refused = court.judge.admit(identity, payload, 0.0, is_retained=is_retained)

    assert why in refused.why


def test_haste_is_refused_and_ends(court) -> None:  # type: ignore[no-untyped-def]
    """More than a burst at once is refused; after a while one more passes."""

    def admit(now_s: float) -> Refused | None:
        return court.judge.admit("noc", b"{}", now_s, is_retained=False)

    assert [admit(0.0) for _ in range(BURST)] == [None] * BURST
    assert "too fast" in admit(0.0).why
    assert admit(EVERY_S) is None
    assert "too fast" in admit(EVERY_S).why


def test_who_floods_costs_the_others_nothing(at) -> None:  # type: ignore[no-untyped-def]
    """Messages of unknown identities do not use up what a known one may ask."""
    judge = Court(at(0)).judge
    for number in range(1000):
        judge.admit(f"nobody-{number}", b"{}", 0.01 * number, is_retained=False)

    found = [judge.admit("noc", b"{}", 10.0 + 2 * n, is_retained=False) for n in range(50)]

    assert found == [None] * 50


def test_slots_are_bounded_and_a_live_id_keeps_its_own(at) -> None:  # type: ignore[no-untyped-def]
    """When all slots are used, that of the first expired id is taken; without one there is none."""
    kept = {
        f"request/{number}": {"id": f"noc/{number}", "expires": to_text(at(number))}
        for number in range(IDS_MAX)
    }

    assert find_slot(kept, "noc/fresh", at(-1)) == ""
    assert find_slot(kept, "noc/fresh", at(5)) == "request/0"
    assert find_slot(kept, "noc/7", at(5)) is None
    del kept["request/500"]
    assert find_slot(kept, "noc/fresh", at(5)) == "request/500"


@pytest.mark.parametrize("key", ["k" * 31, "k" * 201, "k" * 31 + "\n" + "k"])
def test_a_weak_key_is_none(key) -> None:  # type: ignore[no-untyped-def]
    """A key that is too short, too long or not printable is refused with its length."""
    assert str(len(key)) in str(key_flaw(key))
    assert key_flaw("k" * 32) is None


forged = st.builds(
    lambda text, digest: json.dumps({"request": text, "hmac": digest}).encode(),
    st.text(max_size=100),
    st.binary(min_size=32, max_size=32).map(bytes.hex) | st.text(max_size=70),
)


@given(payload=st.binary(max_size=300) | forged)
@example(b'{"request":"\\ud800","hmac":"' + b"0" * 64 + b'"}')
@example(b"[" * 4000)
@example(b"")
def test_no_bytes_without_the_key_are_accepted(payload: bytes) -> None:
    """Whatever the bytes: without the key nothing is accepted, and nothing gets a reply."""
    verdict = Judge(PREFIX, JOURNAL, [requester()], {}).decide("noc", payload, KEY, NOW)

    assert isinstance(verdict, Refused)
    assert verdict.id is None


texts = st.text(st.characters(codec="utf-8"), max_size=80)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(
    data=st.data(),
    change=st.dictionaries(
        st.sampled_from(["id", "journal", "expires", "do", "alarm", "operator", "x"]),
        json_values,
        min_size=1,
        max_size=3,
    ),
)
def test_a_changed_request_needs_another_signature(data, change) -> None:  # type: ignore[no-untyped-def]
    """A signed text that was changed anywhere is refused by its signature."""
    court = Court(NOW)
    envelope = json.loads(signed(court.request()))
    text = envelope["request"]
    place = data.draw(st.integers(0, len(text) - 1))
    envelope["request"] = text[:place] + data.draw(st.characters(codec="ascii")) + text[place + 1 :]
    if envelope["request"] != text:
        assert "another key" in court.decide(json.dumps(envelope).encode()).why
    envelope["request"] = json.dumps(json.loads(text) | change)
    if envelope["request"] != text:
        assert "another key" in court.decide(json.dumps(envelope).encode()).why


@given(request=st.dictionaries(texts, json_values, max_size=4) | json_values, more=json_values)
def test_whatever_is_signed_gets_a_verdict(request, more) -> None:  # type: ignore[no-untyped-def]
    """Also a key's owner can sign nonsense: it is refused in printable words, never raised."""
    court = Court(NOW)
    for asked in (request, court.request() | (request if isinstance(request, dict) else {})):
        verdict = court.decide(signed(json.dumps(asked)))
        if isinstance(verdict, Refused):
            assert verdict.why.isprintable()
    verdict = court.decide(signed(court.request(id="request-0002") | {"alarm": more}))
    assert isinstance(verdict, Refused) or more == verdict.request.arguments["alarm"]
