"""The consumer against a naive model: any order of events, every record once and in order."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from fake_journal import FakeJournal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shorewatch.mqtt.account import Account
from shorewatch.mqtt.follower import Follower
from shorewatch.mqtt.ledger import JOURNALS_MAX
from shorewatch.mqtt.order import Gone, Run

PREFIX = "shorewatch/v1/cable/coast"
START = datetime(2026, 11, 22, tzinfo=UTC)


class Consumer(RuleBasedStateMachine):
    """A station that writes and evicts, a broker that delays and repeats, a user that restarts.

    What the user stores it stores with its mark in one step, as a database would.
    """

    def __init__(self) -> None:
        super().__init__()
        self.journals = [FakeJournal("j0")]
        self.wire: list[bytes] = []
        self.stored: dict[str, list[int]] = {}
        self.told: dict[str, list[tuple[int, int]]] = {}
        self.accounts: dict[str, Account] = {}
        self.fates: dict[str, dict[int, str]] = {}
        self.now_s = 0.0
        self.asked = 0

    @property
    def journal(self) -> FakeJournal:
        return self.journals[-1]

    @initialize()
    def begin(self) -> None:
        self.restart()

    @rule()
    def restart(self) -> None:
        """The consumer dies, with all that its user had not stored, and begins at its marks."""
        marks = {name: account.to for name, account in self.accounts.items()}
        self.follower = Follower(marks={PREFIX: marks}, has_user=True, is_from_first=not marks)
        self.follower.is_consumer = True
        self.follower.broker_state = "online"
        self.hear_state()

    def receive(self, topic: str, payload: bytes) -> None:
        at = START + timedelta(seconds=self.now_s)
        self.follower.receive(f"{PREFIX}/{topic}", payload, at, self.now_s)

    @rule()
    def hear_state(self) -> None:
        """The station repeats its state."""
        self.now_s += 1
        self.receive("state", self.journal.state())

    @rule(count=st.integers(1, 12), kind=st.sampled_from(["sample", "event"]))
    def write(self, count: int, kind: str) -> None:
        """The station writes."""
        self.journal.write(count, kind)

    @rule(picks=st.sets(st.integers(1, 60), max_size=12), is_told=st.booleans())
    def evict(self, picks: set[int], is_told: bool) -> None:
        """The station runs out of space."""
        self.journal.evict(picks, is_told=is_told)

    @rule(after=st.integers(0, 60), count=st.integers(1, 15))
    def send(self, after: int, count: int) -> None:
        """A batch is on its way."""
        batch = self.journal.batch(min(after, max(0, self.journal.last - 1)), count)
        if batch is not None and len(self.wire) < 30:
            self.wire.append(batch)

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), is_last=st.booleans())
    def deliver(self, data: st.DataObject, is_last: bool) -> None:
        """One of the batches on the way comes, in any order, perhaps not for the last time."""
        i = data.draw(st.integers(0, len(self.wire) - 1))
        self.receive("journal", self.wire.pop(i) if is_last else self.wire[i])

    @precondition(lambda self: PREFIX in self.follower.stations)
    @rule(is_whole=st.booleans())
    def replay(self, is_whole: bool) -> None:
        """The consumer asks for what it misses, and gets it, perhaps not whole."""
        self.now_s += 10
        due = self.follower.replay_due(PREFIX, self.now_s)
        if due is None:
            return
        self.asked += 1
        asked = self.follower.note_asked(PREFIX, f"ask-{self.asked:04}", *due, self.now_s)
        reply, *batches = self.journal.replay(asked.id, *due, count=4)
        self.receive(f"reply/noc/{asked.id}", reply)
        for batch in batches if is_whole else batches[:-1]:
            self.receive(f"reply/noc/{asked.id}/records", batch)

    @precondition(lambda self: len(self.journals) < JOURNALS_MAX)
    @rule()
    def change_journal(self) -> None:
        """The station begins another database, and says so before it sends."""
        self.journals.append(FakeJournal(f"j{len(self.journals)}"))
        self.hear_state()

    @rule(records_max=st.integers(1, 30))
    def store(self, records_max: int) -> None:
        """The user takes some of what is ready and stores it with its mark."""
        for station in self.follower.stations.values():
            found = station.reading.next_ready(records_max)
            if found is None:
                continue
            name, taken = found
            for out in taken:
                self.take(name, out)
            station.reading.mark(name, self.accounts[name].to)

    def take(self, name: str, out: Run | Gone) -> None:
        """Into the account, and into the model: what became of each sequence."""
        fates = self.fates.setdefault(name, {})
        if isinstance(out, Gone):
            self.accounts.setdefault(name, Account(name, out.first - 1)).skip(*out)
            fates.update(dict.fromkeys(range(out.first, out.last + 1), "missing"))
            self.told.setdefault(name, []).append((out.first, out.last))
            return
        for record in out.records:
            seq = record["seq"]
            assert isinstance(seq, int)
            self.accounts.setdefault(name, Account(name, seq - 1)).take(record)
            self.stored.setdefault(name, []).append(seq)
            fates[seq] = "came"
            if record["kind"] == "loss":
                for lost in range(record["from"], record["to"] + 1):  # type: ignore[call-overload]
                    if fates.get(lost) == "missing":
                        fates[lost] = "explained"

    @invariant()
    def nothing_comes_twice_or_out_of_order(self) -> None:
        for seqs in self.stored.values():
            assert all(a < b for a, b in pairwise(seqs))
        for account in self.accounts.values():
            assert (account.doubled, account.late) == (0, 0)

    @invariant()
    def only_what_is_gone_is_told_as_gone(self) -> None:
        for journal in self.journals:
            for first, last in self.told.get(journal.identity, []):
                assert set(range(first, last + 1)) <= journal.evicted

    def teardown(self) -> None:
        """In the end an honest broker and station bring all that is kept; the account is exact."""
        journal = self.journal
        journal.write(1)
        self.hear_state()
        for _ in range(20):
            to = self.follower.stations[PREFIX].received_to
            batch = journal.batch(0 if to is None else to, 1000)
            if batch is not None:
                self.receive("journal", batch)
            self.store(10_000)
        account, fates = self.accounts[journal.identity], self.fates[journal.identity]
        assert account.to == journal.last
        assert sorted(fates) == list(range(account.begun_after + 1, journal.last + 1))
        count = Counter(fates.values())
        assert account.records == count["came"]
        assert account.lost == count["missing"] + count["explained"]
        assert account.explained == count["explained"]
        holes = {n for hole in account.holes for n in range(hole.first, hole.last + 1)}
        assert holes == {seq for seq, fate in fates.items() if fate == "missing"}
        assert all(fates[seq] == "came" for seq in journal.kept if seq > account.begun_after)
        assert (account.fault is None) == (not holes)


TestConsumer = Consumer.TestCase
TestConsumer.settings = settings(max_examples=60, stateful_step_count=50)
