"""What a scan found as a piece of a station file, ready to be pasted and finished. Pure.

A bus with its devices where the setting is known, `[[direct]]` for Modbus TCP. Devices whose type
is not sure stand there with what they may be beside them; those of no known type are commented out,
so that the piece is right as it is.
"""

from collections.abc import Iterator, Sequence

from shorewatch.field.scan import Found
from shorewatch.field.sweep import Setting

_NAME_MAX = 60


def fragment(port: str, setting: Setting | None, found: Sequence[Found], uart: int = 0) -> str:
    """The TOML of one line and its devices; `uart` is the board's, as far as it is known."""
    clear = [device for device in found if device.is_clear]
    known = [device for device in clear if device.guess.best is not None]
    if not clear:
        return ""
    head = list(_head(port, setting, uart, is_empty=not known))
    key = "direct.device" if setting is None else "board.bus.device"
    parts = [_device(device, key) for device in clear]
    return "\n".join([*head, *("\n" + part for part in parts)]) + "\n"


def _head(port: str, setting: Setting | None, uart: int, *, is_empty: bool) -> Iterator[str]:
    mark = "# " if is_empty else ""  # a bus without a device is none
    if setting is None:
        yield f"{mark}[[direct]]"
        yield f'{mark}id = "line"'
        yield f'{mark}tcp = "{port}"'
        return
    yield f"# Found through {_plain(port)}. Below the [[board]] that reads it; its number is in"
    yield "# boards/README.md, Wiring."
    yield f"{mark}[[board.bus]]"
    yield f"{mark}uart = {uart}"
    yield f"{mark}baud = {setting.baud}"
    yield f'{mark}format = "{setting.format}"'


def _device(found: Found, key: str) -> str:
    guess, best = found.guess, found.guess.best
    names = ", ".join(_plain(text) for text in found.identity.values())
    lines = [f"[[{key}]]"]
    if best is None:
        lines += [
            f'id = "unit-{found.unit_id}"',
            f'name = "Unit {found.unit_id}"',
            'profile = "?"  # no profile fits: see profiles/README.md',
            f"unit_id = {found.unit_id}",
        ]
    else:
        profile = best.profile
        note = "" if guess.is_sure else f"  # {guess.said}: shorewatch profile try tells"
        lines += [
            f'id = "{profile.id[:34]}-{found.unit_id}"',
            f'name = "{_plain(profile.name)[:_NAME_MAX]}, unit {found.unit_id}"',
            f'profile = "{profile.id}"{note}',
            f"unit_id = {found.unit_id}",
        ]
    if names:
        lines.insert(0, f"# calls itself {names[:100]}")
    return "\n".join(line if best or line.startswith("#") else f"# {line}" for line in lines)


def _plain(text: str) -> str:
    """What may stand in a TOML string or comment."""
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)
