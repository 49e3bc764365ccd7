"""Sparkplug's payload: frozen dataclasses to bytes and back. The one importer of protobuf.

The schema is our own file, payload.textproto, from which protobuf's library builds the messages
when this is imported: no compiler at install, no generated code that only suits some of its
versions. An integer goes out in the field that its datatype has, a signed one in two's complement
of its own width; from others, a sign extended to 32 bits is understood as well.

A DATA message names no datatypes: an integer read without one is as unsigned as it went over the
wire, and `as_typed` makes it what the birth said it is.
Limits: what is not a plain value (data sets, templates) reads as None and is not null.
Source: Sparkplug 3.0.0, 6.4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.resources import files
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

Plain = int | float | bool | str | bytes


class DataType(IntEnum):
    """What a metric's value is. Source: Sparkplug 3.0.0, 6.4.16."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


@dataclass(frozen=True, slots=True)
class Property:
    """What is said of a metric besides its value; `value` is None where it is null."""

    datatype: DataType | None
    value: Plain | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. In a birth it has name, alias and datatype, in DATA its alias.

    `datatype` says how `value` goes over the wire: needed wherever there is a value to encode.
    `value` is of the datatype's kind, DATETIME in milliseconds since 1970. None without `is_null`
    is a metric without any value, or one that is no plain value.
    """

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: DataType | None = None
    value: Plain | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    """One message: when it was published, its number, its metrics. A Will has no number."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()


_SIGNED: Final = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED: Final = {
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATETIME: 64,
}
_BITS: Final = _SIGNED | _UNSIGNED
# The field of a datatype, and what Python holds in it.
_FIELDS: Final[Mapping[DataType, tuple[str, type]]] = {
    **{kind: ("int" if bits <= 32 else "long", int) for kind, bits in _BITS.items()},
    DataType.FLOAT: ("float", float),
    DataType.DOUBLE: ("double", float),
    DataType.BOOLEAN: ("bool", bool),
    DataType.STRING: ("text", str),
    DataType.TEXT: ("text", str),
    DataType.UUID: ("text", str),
    DataType.BYTES: ("bytes", bytes),
}


def _message_of_schema() -> Any:
    schema = files(__package__).joinpath("payload.textproto").read_text("utf-8")
    described = text_format.Parse(schema, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    found = pool.FindMessageTypeByName(f"{described.package}.Payload")
    return message_factory.GetMessageClass(found)


_Message: Final = _message_of_schema()


def encode(payload: Payload, *, with_datatypes: bool = True) -> bytes:
    """The payload's bytes; a DATA message goes out without datatypes.

    Raises ValueError for a value that its datatype does not hold.
    """
    message = _Message()
    if payload.timestamp_ms is not None:
        message.timestamp = payload.timestamp_ms
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        _put_metric(message.metrics.add(), metric, with_datatypes)
    return bytes(message.SerializeToString(deterministic=True))


def decode(data: bytes) -> Payload:
    """The payload that `data` is; ValueError, which says where, if it is none."""
    message = _Message()
    try:
        message.ParseFromString(data)
        return Payload(
            timestamp_ms=message.timestamp if message.HasField("timestamp") else None,
            seq=message.seq if message.HasField("seq") else None,
            metrics=tuple(_metric(metric) for metric in message.metrics),
        )
    except DecodeError as error:
        raise ValueError(f"{len(data)} bytes are no Sparkplug B payload: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"a text in the payload is no UTF-8: {error}") from error


def as_typed(value: Plain | None, datatype: DataType) -> Plain | None:
    """A value read without its datatype, as that datatype; ValueError where it cannot be one."""
    if value is None or datatype not in _FIELDS:
        return value
    kind = _FIELDS[datatype][1]
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {datatype.name}")
    if not isinstance(value, int) or datatype not in _BITS:
        return value
    bits = _BITS[datatype]
    if datatype in _UNSIGNED:
        if value >> bits:
            raise ValueError(f"{value} is no {datatype.name}")
        return value
    return _signed(value, bits, datatype)


def _signed(value: int, bits: int, datatype: DataType) -> int:
    """The number whose two's complement, of its own width or of the field's, is `value`."""
    wire_bits = max(bits, 32)
    wide = value - (1 << wire_bits) if value >> (wire_bits - 1) else value
    narrow = value - (1 << bits) if value >> (bits - 1) == 1 else wide
    if not -(1 << (bits - 1)) <= narrow < 1 << (bits - 1):
        raise ValueError(f"{value} is no {datatype.name}")
    return narrow


def _put_metric(message: Any, metric: Metric, with_datatype: bool) -> None:
    if metric.name is not None:
        message.name = metric.name
    if metric.alias is not None:
        message.alias = metric.alias
    if metric.timestamp_ms is not None:
        message.timestamp = metric.timestamp_ms
    if with_datatype and metric.datatype is not None:
        message.datatype = metric.datatype
    for flag in ("is_null", "is_historical", "is_transient"):
        if getattr(metric, flag):
            setattr(message, flag, True)
    for key, said in metric.properties.items():
        message.properties.keys.append(key)
        _put_property(message.properties.values.add(), said)
    _put_value(message, metric.datatype, metric.value)


def _put_property(message: Any, said: Property) -> None:
    if said.datatype is not None:
        message.datatype = said.datatype
    if said.value is None:
        message.is_null = True
    _put_value(message, said.datatype, said.value)


def _put_value(message: Any, datatype: DataType | None, value: Plain | None) -> None:
    if value is None:
        return
    assert datatype is not None and datatype in _FIELDS, "a value goes out as its datatype has it"
    name, kind = _FIELDS[datatype]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r} is no {datatype.name}")
    if isinstance(value, int) and datatype in _BITS:
        bits = _BITS[datatype]
        low = -(1 << (bits - 1)) if datatype in _SIGNED else 0
        if not low <= value < low + (1 << bits):
            raise ValueError(f"{value} is no {datatype.name}")
        value &= (1 << bits) - 1
    setattr(message, name, value)


def _metric(message: Any) -> Metric:
    datatype = _datatype(message)
    properties = message.properties
    if len(properties.keys) != len(properties.values):
        raise ValueError(
            f"a metric has {len(properties.keys)} property keys for {len(properties.values)} values"
        )
    return Metric(
        name=message.name if message.HasField("name") else None,
        alias=message.alias if message.HasField("alias") else None,
        timestamp_ms=message.timestamp if message.HasField("timestamp") else None,
        datatype=datatype,
        value=_value(message, datatype),
        is_null=message.is_null,
        is_historical=message.is_historical,
        is_transient=message.is_transient,
        properties={
            key: _property(said)
            for key, said in zip(properties.keys, properties.values, strict=True)
        },
    )


def _property(message: Any) -> Property:
    datatype = _datatype(message)
    return Property(datatype, None if message.is_null else _value(message, datatype))


def _datatype(message: Any) -> DataType | None:
    if not message.HasField("datatype"):
        return None
    try:
        return DataType(message.datatype)
    except ValueError as error:
        raise ValueError(f"{message.datatype} is no datatype of Sparkplug B") from error


def _value(message: Any, datatype: DataType | None) -> Plain | None:
    name = message.WhichOneof("value")
    if name is None:
        return None
    value: Plain = getattr(message, name)
    return value if datatype is None else as_typed(value, datatype)
