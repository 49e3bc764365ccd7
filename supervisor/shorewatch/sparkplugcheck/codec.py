"""Sparkplug B's protobuf to payloads and back. Pure.

    message: (field number << 3 | wire type) as varint, then its value: varint (0), 8 bytes (1),
    length and bytes (2), 4 bytes (5)

A codec of the checker's own, beside the one that our edge node uses: a mistake in one cannot hide
the same one in the other. It refuses what protobuf's form does not allow, and reads over unknown
fields. Limits: nesting of `DEPTH_MAX`; the size is that of an MQTT packet.
Source: Sparkplug 3.0.0, 6.4 (the schema); Protocol Buffers encoding.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Final

from shorewatch.sparkplugcheck.payload import (
    Cell,
    DataSet,
    Held,
    Metric,
    Parameter,
    Payload,
    Property,
    PropertySet,
    PropertySetList,
    Row,
    Template,
)

DEPTH_MAX: Final = 16
_VARINT_BYTES_MAX = 10


class PayloadError(ValueError):
    """The bytes are no Sparkplug B payload: what is wrong with them."""


# Field number: attribute, and its kind: a scalar's name, or the class of a message.
# A `oneof` has the attribute `value` and its field's name third.
_Field = tuple[str, str | type] | tuple[str, str | type, str]
_VALUE_KINDS = ("uint32", "uint64", "float", "double", "bool", "string")
_VALUE_NAMES = (
    "int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value",
)  # fmt: skip


def _values(first: int, *more: tuple[str, str | type]) -> dict[int, _Field]:
    """The `oneof` of a message from field number `first` on; `more` are what follows a string."""
    held = [*zip(_VALUE_NAMES, _VALUE_KINDS, strict=True), *more]
    return {first + i: ("value", kind, name) for i, (name, kind) in enumerate(held)}


class _Extension:
    """A third party's extension, whose content is not looked at."""


_SCHEMA: Final[dict[type, dict[int, _Field]]] = {
    Payload: {1: ("timestamp_ms", "uint64"), 2: ("metrics", Metric), 3: ("seq", "uint64")},
    Metric: {
        1: ("name", "string"), 2: ("alias", "uint64"), 3: ("timestamp_ms", "uint64"),
        4: ("datatype", "uint32"), 5: ("is_historical", "bool"), 6: ("is_transient", "bool"),
        7: ("is_null", "bool"), 9: ("properties", PropertySet),
        **_values(
            10, ("bytes_value", "bytes"), ("dataset_value", DataSet), ("template_value", Template),
            ("extension_value", _Extension),
        ),
    },
    PropertySet: {1: ("keys", "string"), 2: ("values", Property)},
    PropertySetList: {1: ("sets", PropertySet)},
    Property: {
        1: ("type", "uint32"), 2: ("is_null", "bool"),
        **_values(
            3, ("propertyset_value", PropertySet), ("propertysets_value", PropertySetList),
            ("extension_value", _Extension),
        ),
    },
    DataSet: {
        1: ("column_count", "uint64"), 2: ("columns", "string"), 3: ("types", "uint32"),
        4: ("rows", Row),
    },
    Row: {1: ("cells", Cell)},
    Cell: _values(1, ("extension_value", _Extension)),
    Template: {
        1: ("version", "string"), 2: ("metrics", Metric), 3: ("parameters", Parameter),
        4: ("ref", "string"), 5: ("is_definition", "bool"),
    },
    Parameter: {
        1: ("name", "string"), 2: ("type", "uint32"), **_values(3, ("extension_value", _Extension)),
    },
    _Extension: {},
}  # fmt: skip
_WIRE = {"uint32": 0, "uint64": 0, "bool": 0, "double": 1, "float": 5}
_REPEATED = {
    cls: {field.name for field in fields(cls) if field.default == ()}
    for cls in _SCHEMA
    if cls is not _Extension
}


def decode(data: bytes) -> Payload:
    """The payload in `data`; raises PayloadError."""
    found = _decode(Payload, data, 0)
    assert isinstance(found, Payload), "the schema begins there"
    return found


def encode(message: Any) -> bytes:
    """The bytes of a payload, or of any message in it; what is None or empty is left out."""
    out = bytearray()
    for number, (attribute, kind, *oneof) in _SCHEMA[type(message)].items():
        found = getattr(message, attribute)
        if oneof:
            found = (found.value,) if found is not None and found.field == oneof[0] else ()
        elif not isinstance(found, tuple):
            found = () if found is None else (found,)
        for value in found:
            out += _encode_field(number, kind, value)
    return bytes(out)


def _encode_field(number: int, kind: str | type, value: Any) -> bytes:
    wire = _WIRE.get(kind, 2) if isinstance(kind, str) else 2
    key = _varint(number << 3 | wire)
    if wire == 0:
        return key + _varint(int(value))
    if wire == 1:
        return key + struct.pack("<d", value)
    if wire == 5:
        return key + struct.pack("<f", value)
    body: bytes
    if kind == "string":
        body = value.encode("utf-8", "surrogateescape")
    elif kind == "bytes":
        body = value
    else:
        body = encode(value) if kind is not _Extension else b""
    return key + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _decode(cls: type, data: bytes, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise PayloadError(f"messages are nested more than {DEPTH_MAX} deep")
    schema = _SCHEMA[cls]
    found: dict[str, Any] = {}
    for number, wire, raw in _fields(data):
        field = schema.get(number)
        if field is None:
            continue
        attribute, kind = field[:2]
        if wire == 2 and kind == "uint32" and attribute in _REPEATED[cls]:  # packed
            found[attribute] = (*found.get(attribute, ()), *_unpacked(raw))
            continue
        if wire != (_WIRE.get(kind, 2) if isinstance(kind, str) else 2):
            where = f"field {number} ({attribute}) of {cls.__name__}"
            raise PayloadError(f"{where} has wire type {wire}")
        value = _scalar(kind, raw) if isinstance(kind, str) else _decode(kind, raw, depth + 1)
        if len(field) == 3:
            found[attribute] = Held(field[2], value)
        elif attribute in _REPEATED[cls]:
            found.setdefault(attribute, []).append(value)
        else:
            found[attribute] = value
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in found.items()})


def _scalar(kind: str, raw: Any) -> Any:
    convert: Callable[[Any], Any] = _CONVERT[kind]
    return convert(raw)


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "uint32": int,
    "uint64": int,
    "bool": bool,
    "double": lambda raw: struct.unpack("<d", raw)[0],
    "float": lambda raw: struct.unpack("<f", raw)[0],
    "string": lambda raw: raw.decode("utf-8", "surrogateescape"),
    "bytes": bytes,
}


def _unpacked(data: bytes) -> Iterator[int]:
    place = 0
    while place < len(data):
        value, place = _read_varint(data, place)
        yield value


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Field number, wire type and raw value, one after the other."""
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        number, wire = key >> 3, key & 7
        if not number:
            raise PayloadError("a field has the number 0")
        if wire == 0:
            value, place = _read_varint(data, place)
            yield number, wire, value
            continue
        if wire == 2:
            size, place = _read_varint(data, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise PayloadError(f"field {number} has wire type {wire}")
        if size > len(data) - place:
            raise PayloadError(f"field {number} ends {size - len(data) + place} bytes early")
        yield number, wire, data[place : place + size]
        place += size


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    found = 0
    for i in range(_VARINT_BYTES_MAX):
        if place + i >= len(data):
            raise PayloadError("a number is cut off")
        byte = data[place + i]
        found |= (byte & 127) << 7 * i
        if byte < 128:
            return found, place + i + 1
    raise PayloadError("a number takes more than ten bytes")
