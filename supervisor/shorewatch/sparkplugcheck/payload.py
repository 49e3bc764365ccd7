"""A Sparkplug B payload as it stands on the wire: what is there, and what is not. Pure.

None is a field that is absent. Text that was no UTF-8 has surrogates; a number may be larger than
its field allows. So the rules can ask for what a schema's accessors hide. `codec` makes these from
bytes. Source: Sparkplug 3.0.0, 6.4.
"""

from dataclasses import dataclass
from typing import Any, Final

# Sparkplug's data types, by the names of its chapter 6.
TYPES: Final = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float",
    "Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File",
    "Template", "PropertySet", "PropertySetList", "Int8Array", "Int16Array", "Int32Array",
    "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array", "FloatArray",
    "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
INT32, INT64, BOOLEAN = 3, 4, 11
BASIC_TYPES: Final = range(1, 15)
METRIC_TYPES: Final = (*range(1, 20), *range(22, 35))
PROPERTY_TYPES: Final = (*BASIC_TYPES, 20, 21)


@dataclass(frozen=True, slots=True)
class Held:
    """A value and the field of the schema's `oneof` that holds it, as `int_value`."""

    field: str
    value: Any


@dataclass(frozen=True, slots=True)
class Property:
    """The value of one property."""

    type: int | None = None
    is_null: bool | None = None
    value: Held | None = None


@dataclass(frozen=True, slots=True)
class PropertySet:
    """Keys and values as two lists, which should be of one length."""

    keys: tuple[str, ...] = ()
    values: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class PropertySetList:
    """Several property sets as one value."""

    sets: tuple[PropertySet, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One element of a data set's row."""

    value: Held | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data set."""

    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """A table: column names, their types, rows."""

    column_count: int | None = None
    columns: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a template."""

    name: str | None = None
    type: int | None = None
    value: Held | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template's definition or instance."""

    version: str | None = None
    metrics: tuple["Metric", ...] = ()
    parameters: tuple[Parameter, ...] = ()
    ref: str | None = None
    is_definition: bool | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; None is a field that is not there."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool | None = None
    is_transient: bool | None = None
    is_null: bool | None = None
    properties: PropertySet | None = None
    value: Held | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """One message's payload; None is a field that is not there."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
