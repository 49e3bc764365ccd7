"""Which device type is it: signatures of all profiles held against what a device answers. Pure.

A type fits if none of its signs is missing. Those that fit are ordered by how much their signs
tell (sign.py). The first is `recognised` if that is enough by itself and clearly more than the
next one's, else only proposed, with the others beside it.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from shorewatch.direct.frame import Outcome, Read
from shorewatch.field.probe import Trial
from shorewatch.profile import Profile
from shorewatch.sign import Ask, Judged, Seen

BITS_MIN = 12.0
LEAD_BITS = 5.0

Reader = Callable[[Ask], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class Fit:
    """A type that fits, and by what."""

    profile: Profile
    signs: tuple[Judged, ...]

    @property
    def bits(self) -> float:
        """How much its signs tell."""
        return sum(sign.bits for sign in self.signs)

    @property
    def is_whole(self) -> bool:
        """Whether every sign was seen."""
        return all(sign.is_there for sign in self.signs)

    @property
    def said(self) -> str:
        return "; ".join(sign.said for sign in self.signs)


@dataclass(frozen=True, slots=True)
class Guess:
    """The types that fit a device, the best first."""

    fits: tuple[Fit, ...] = ()

    @property
    def best(self) -> Fit | None:
        return self.fits[0] if self.fits else None

    @property
    def is_sure(self) -> bool:
        """Whether the best is it, as far as registers can tell."""
        best = self.best
        if best is None or best.bits < BITS_MIN or not best.is_whole:
            return False
        return len(self.fits) < 2 or best.bits - self.fits[1].bits >= LEAD_BITS

    @property
    def said(self) -> str:
        """In words: what it is, or may be."""
        if self.best is None:
            return "no profile fits: write one"
        names = [fit.profile.id for fit in self.fits]
        if self.is_sure:
            return names[0]
        others = f", or {', '.join(names[1:4])}" if names[1:] else ""
        return f"maybe {names[0]}{others}"


async def guess(
    profiles: Iterable[Profile], read: Reader, *, unit_id: int, baud: int | None
) -> Guess:
    """Hold each profile's signature against a device, reading each register once."""
    seen: dict[Ask, Seen] = {}
    fits = []
    for profile in profiles:
        signs = await _signs(profile, seen, read, unit_id, baud)
        if signs and any(sign.is_there for sign in signs):
            fits.append(Fit(profile, signs))
    fits.sort(key=lambda fit: (-fit.bits, fit.profile.id))
    return Guess(tuple(fits))


async def _signs(
    profile: Profile, seen: dict[Ask, Seen], read: Reader, unit_id: int, baud: int | None
) -> tuple[Judged, ...]:
    """Its signs as they were seen; none if one is missing, and then the rest is not read."""
    points = dict(profile.points)
    found = []
    for sign in profile.signature:
        ask = sign.ask(points)
        if ask not in seen:
            seen[ask] = await read(ask)
        judged = sign.judged(points, seen[ask], unit_id=unit_id, baud=baud)
        if judged.is_there is False:
            return ()
        found.append(judged)
    return tuple(found)


def seen_in(trial: Trial) -> Seen:
    """What a trial of a read tells a sign: words, bits, an exception's code, or None."""
    request = trial.request
    assert isinstance(request, Read), "signs are read"
    if trial.outcome is Outcome.GOOD:
        found = request.words(trial.reply)
        if request.function < 3:
            return [found[i // 16] >> i % 16 & 1 for i in range(request.count)]
        return found
    return trial.exception
