"""Points whose scale or quality stands in other points of the same device. Pure.

Some devices serve a number and, beside it, where its decimal point is, in which unit it is, or
whether it may be believed. Such a point names the ones it is tied to, in `scale_by` and
`quality_by`; profile.py sees to it that all of them are read in one request, for a scale of another
moment would make a wrong number that looks right.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from shorewatch.conversion import OUT_OF_RANGE, Doubt, Found, decimal
from shorewatch.model import Quality, Reason
from shorewatch.toml import Table

# Powers of ten past these are a register of something else, not a scale.
_DECIMALS = range(10)
_EXPONENTS = range(-18, 19)


class ScaleBy(Table):
    """Which points hold parts of the scale; the parts are multiplied."""

    decimals: str | None = None
    exponent: str | None = None
    factor: str | None = None
    enum: str | None = None
    factors: dict[str, float] = {}

    def names(self) -> Iterator[tuple[str, str]]:
        """(key, point) of each point named."""
        for key in ("decimals", "exponent", "factor", "enum"):
            name = getattr(self, key)
            if name is not None:
                yield key, name

    def gain(self, beside: Mapping[str, Found]) -> Fraction | Doubt:
        """The factor that the points beside this one make up, or why there is none."""
        gain = Fraction(1)
        for key, name in self.names():
            part = self._part(key, name, beside[name])
            if isinstance(part, Doubt):
                return part
            gain *= part
        return gain

    def _part(self, key: str, name: str, found: Found) -> Fraction | Doubt:
        if isinstance(found, Doubt):
            return Doubt(Quality.BAD, found.reason, detail=f"by {name}")
        if key == "enum":
            if found in self.factors:
                return decimal(self.factors[str(found)])
            return Doubt(Quality.BAD, Reason.UNKNOWN_CODE, detail=f"by {name}: {found}")
        assert isinstance(found, (int, float)), "profile.py saw to it"
        if key == "factor":
            return decimal(found) if found else _no_scale(name, found)
        assert isinstance(found, int), "profile.py saw to it"
        if found not in (_DECIMALS if key == "decimals" else _EXPONENTS):
            return _no_scale(name, found)
        return Fraction(10) ** (-found if key == "decimals" else found)


class QualityBy(Table):
    """Which enum tells how far the value may be trusted, by its labels; all others say good."""

    point: str
    uncertain: list[str] = []
    bad: list[str] = []

    def judged(self, found: Found, state: Found) -> Found:
        """`found`, as far as the device itself believes it."""
        if not isinstance(state, Doubt) and state in self.bad:
            return Doubt(Quality.BAD, Reason.SENTINEL, detail=str(state))
        if isinstance(found, Doubt):
            return found
        if isinstance(state, Doubt):
            value = None if state.quality is Quality.BAD else found
            return Doubt(state.quality, state.reason, value, f"by {self.point}")
        if state in self.uncertain:
            return Doubt(Quality.UNCERTAIN, Reason.DEVICE_DOUBT, found, str(state))
        return found


def _no_scale(name: str, found: float) -> Doubt:
    return Doubt(OUT_OF_RANGE.quality, OUT_OF_RANGE.reason, detail=f"by {name}: {found:g}")
