"""The accounts of all stations and journals that a consumer was given something of: pure.

From it a consumer knows where to go on (`marks`) and whether all is well (`fault`). As JSON it
survives a restart. Limit: `JOURNALS_MAX` journals a station; of more the oldest goes, and a fault
in it stays known.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from shorewatch.mqtt.account import Account

JOURNALS_MAX: Final = 64
JsonObject = Mapping[str, object]


class Ledger:
    """Accounts by station (`<cable>/<station>`) and journal."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Account]] = {}
        self._old_fault: str | None = None

    def __iter__(self) -> Iterator[tuple[str, Account]]:
        for station, accounts in self._accounts.items():
            for account in accounts.values():
                yield station, account

    def take(
        self, station: str, journal: str, record: JsonObject, *, is_late: bool = False
    ) -> None:
        """A record was given; `is_late` if its hole was told before."""
        seq = record["seq"]
        assert isinstance(seq, int), "records come with their sequence"
        self._account(station, journal, seq).take(record, is_late=is_late)

    def skip(self, station: str, journal: str, first: int, last: int, why: str) -> None:
        """first..last do not come."""
        self._account(station, journal, first).skip(first, last, why)

    @property
    def marks(self) -> dict[str, dict[str, int]]:
        """How far each journal of each station has come."""
        return {
            station: {journal: account.to for journal, account in accounts.items()}
            for station, accounts in self._accounts.items()
        }

    @property
    def fault(self) -> str | None:
        """The first thing that is wrong, with its station and journal; None if nothing is."""
        found = (
            f"{station}, journal {account.journal[:8]}: {account.fault}"
            for station, account in self
            if account.fault is not None
        )
        return self._old_fault or next(found, None)

    def to_json(self) -> dict[str, object]:
        """All of it."""
        stations = {
            station: [account.to_json() for account in accounts.values()]
            for station, accounts in self._accounts.items()
        }
        return {"ok": self.fault is None, "fault": self.fault, "stations": stations}

    @classmethod
    def from_json(cls, body: object) -> "Ledger":
        """The inverse; raises ValueError for what is no ledger."""
        stations = body.get("stations") if isinstance(body, dict) else None
        if not isinstance(stations, dict):
            raise ValueError("a ledger has stations")
        ledger = cls()
        for station, accounts in stations.items():
            if not isinstance(accounts, list) or not all(isinstance(a, dict) for a in accounts):
                raise ValueError(f"{station} has no list of accounts")
            found = [Account.from_json(account) for account in accounts]
            ledger._accounts[str(station)] = {account.journal: account for account in found}
        fault = body.get("fault") if isinstance(body, dict) else None
        if isinstance(fault, str) and ledger.fault is None:
            ledger._old_fault = fault
        return ledger

    def _account(self, station: str, journal: str, first: int) -> Account:
        accounts = self._accounts.setdefault(station, {})
        account = accounts.get(journal)
        if account is None:
            account = accounts[journal] = Account(journal, first - 1)
            if len(accounts) > JOURNALS_MAX:
                self._old_fault = self.fault
                del accounts[next(iter(accounts))]
        return account
