"""The rules on what one payload holds: metrics, properties, data sets, templates. Pure.

It needs no past but the template definitions of the session's NBIRTH; whether a metric was in its
birth, and the order of messages, is the judge's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.packet import is_utf8
from shorewatch.sparkplugcheck.payload import (
    BASIC_TYPES,
    INT32,
    METRIC_TYPES,
    PROPERTY_TYPES,
    DataSet,
    Held,
    Metric,
    Parameter,
    Payload,
    Property,
    PropertySet,
    PropertySetList,
    Template,
)

# A clock in another time zone is off by a quarter of an hour at least.
CLOCK_S_MAX: Final = 600.0
_YEAR_2000_MS = 946_684_800_000
_UINT32_MAX = 0xFFFF_FFFF
_QUALITIES = (0, 192, 500)


@dataclass(frozen=True, slots=True)
class Rules:
    """Judges payloads of one message type; `definitions` are the template definitions known."""

    book: Book
    kind: str
    at_s: float
    definitions: Mapping[str, Template]

    @property
    def _is_birth(self) -> bool:
        return self.kind in ("NBIRTH", "DBIRTH")

    def judge(self, payload: Payload) -> None:
        """Judge every metric."""
        last_ms = 0
        level = "node" if self.kind[0] == "N" else "device"
        for metric in payload.metrics:
            self._metric(metric)
            if not metric.is_historical and metric.timestamp_ms is not None:
                is_ordered = metric.timestamp_ms >= last_ms
                seen = f"{metric.timestamp_ms} after {last_ms}"
                self.book.judge(
                    f"{level}-chronological", is_ordered, seen, field=f"{_name(metric)} timestamp"
                )
                last_ms = max(last_ms, metric.timestamp_ms)

    def _metric(self, metric: Metric) -> None:
        name, judge = _name(metric), self.book.judge
        if self._is_birth:
            self._birth(metric)
        else:
            has_id = metric.name is not None or metric.alias is not None
            judge("metric-name", has_id, "neither name nor alias", field="metric")
            judge("datatype-data", metric.datatype is None, metric.datatype, field=name)
        at_ms = metric.timestamp_ms
        judge("metric-timestamp", at_ms is not None, "no timestamp", field=name)
        if at_ms is not None:
            is_utc = _YEAR_2000_MS < at_ms < (self.at_s + CLOCK_S_MAX) * 1000
            judge("metric-utc", is_utc, at_ms, field=f"{name} timestamp")
        if metric.datatype is not None:
            self._type("datatype", METRIC_TYPES, metric.datatype, f"{name} datatype")
        if metric.properties is not None:
            self._properties(metric.properties, name)
        self._value(metric, name)

    def _birth(self, metric: Metric) -> None:
        judge, kind, name = self.book.judge, self.kind.lower(), _name(metric)
        judge("metric-name", metric.name is not None, "no name", field=name)
        if metric.alias is not None:
            judge("alias-birth", metric.name is not None, "no name", field=name)
        judge("datatype-birth", metric.datatype is not None, "no datatype", field=name)
        is_null, has_value = bool(metric.is_null), metric.value is not None
        lacks = [] if metric.name is not None else ["name"]
        lacks += [] if metric.datatype is not None else ["datatype"]
        lacks += [] if is_null or has_value else ["value"]
        judge(f"{kind}-metric", not lacks, f"no {', '.join(lacks)}", field=name)
        seen = "is_null and a value" if is_null else "neither value nor is_null"
        judge(f"{kind}-value", is_null != has_value, seen, field=name)

    def _type(self, demand: str, known: "range | tuple[int, ...]", value: int, field: str) -> None:
        self.book.judge(f"{demand}-form", value <= _UINT32_MAX, value, field=field)
        self.book.judge(f"{demand}-known", value in known, value, field=field)

    def _value(self, metric: Metric, name: str) -> None:
        held = metric.value
        if held is None:
            return
        if isinstance(held.value, DataSet):
            self._dataset(held.value, name)
        elif isinstance(held.value, Template):
            self._template(held.value, name)

    def _properties(self, found: PropertySet, name: str) -> None:
        counts = f"{len(found.keys)} keys, {len(found.values)} values"
        is_even = len(found.keys) == len(found.values)
        self.book.judge("property-count", is_even, counts, field=f"{name} properties")
        for key, value in zip(found.keys, found.values, strict=False):
            self._property(key, value, f"{name} property {key}")

    def _property(self, key: str, found: Property, field: str) -> None:
        judge = self.book.judge
        if self._is_birth:
            judge("property-type", found.type is not None, "no type", field=field)
        if found.type is not None:
            self._type("property-type", PROPERTY_TYPES, found.type, f"{field} type")
        held = found.value
        if key == "Quality":
            if found.type is not None or self._is_birth:
                judge("quality-type", found.type == INT32, found.type, field=field)
            is_code = held is not None and held.field == "int_value" and held.value in _QUALITIES
            judge("quality-value", is_code, held, field=field)
        if held is not None and isinstance(held.value, PropertySet):
            self._properties(held.value, field)
        elif held is not None and isinstance(held.value, PropertySetList):
            for inner in held.value.sets:
                self._properties(inner, field)

    def _dataset(self, found: DataSet, name: str) -> None:
        judge, field = self.book.judge, f"{name} data set"
        count = found.column_count
        judge("dataset-count", count == len(found.columns), f"num_of_columns {count}", field=field)
        judge("dataset-types", bool(found.types), "no types", field=field)
        counts = f"{len(found.types)} types, {len(found.columns)} columns"
        judge("dataset-headers", len(found.types) == len(found.columns), counts, field=field)
        for value in found.types:
            self._type("dataset-type", BASIC_TYPES, value, f"{field} types")
        for row in found.rows:
            for cell in row.cells:
                if cell.value is not None:
                    judge("dataset-value", _is_plain(cell.value), cell.value.field, field=field)

    def _template(self, found: Template, name: str) -> None:
        judge, field = self.book.judge, f"{name} template"
        judge("template-said", found.is_definition is not None, "no is_definition", field=field)
        if found.ref is None:
            judge("template-definition", found.is_definition is True, found, field=field)
        else:
            judge("template-instance", found.is_definition is False, found, field=field)
        if found.is_definition:
            judge("template-definition-ref", found.ref is None, found.ref, field=field)
            judge("template-in-nbirth", self.kind == "NBIRTH", f"in {self.kind}", field=field)
        elif found.is_definition is False:
            is_ref = found.ref is not None and is_utf8(found.ref)
            judge("template-instance-ref", is_ref, found.ref, field=field)
            if found.ref is not None:
                self._instance(found, self.definitions.get(found.ref), field)
        if found.version is not None:
            judge("template-version", is_utf8(found.version), found.version, field=field)
        for parameter in found.parameters:
            self._parameter(parameter, f"{field} parameter {parameter.name}")
        for member in found.metrics:
            self._value(member, f"{field} {_name(member)}")

    def _instance(self, found: Template, definition: Template | None, field: str) -> None:
        judge = self.book.judge
        if not judge("template-defined", definition is not None, found.ref, field=field):
            return
        assert definition is not None, "just judged"
        members, known = _members(found), _members(definition)
        judge("template-members", members <= known, sorted(members - known), field=field)
        if self._is_birth:
            lacking = sorted(known - members)
            judge("template-all-members", not lacking, f"without {lacking}", field=field)
        names = {parameter.name for parameter in found.parameters}
        unknown = names - {parameter.name for parameter in definition.parameters}
        judge("template-parameters", not unknown, f"{unknown}", field=field)

    def _parameter(self, found: Parameter, field: str) -> None:
        judge = self.book.judge
        judge("parameter-name", found.name is not None, "no name", field=field)
        if found.name is not None:
            judge("parameter-name-text", is_utf8(found.name), found.name, field=field)
        if self._is_birth:
            judge("parameter-type", found.type is not None, "no type", field=field)
        if found.type is not None:
            self._type("parameter-type", BASIC_TYPES, found.type, f"{field} type")
        if found.value is not None:
            judge("parameter-value", _is_plain(found.value), found.value.field, field=field)


def templates(payload: Payload) -> dict[str, Template]:
    """The template definitions in an NBIRTH, by name."""
    return {
        metric.name: metric.value.value
        for metric in payload.metrics
        if metric.name is not None
        and metric.value is not None
        and isinstance(metric.value.value, Template)
        and metric.value.value.is_definition
    }


def _members(found: Template) -> set[str]:
    return {member.name for member in found.metrics if member.name is not None}


def _name(metric: Metric) -> str:
    return f"alias {metric.alias}" if metric.name is None else metric.name


def _is_plain(held: Held) -> bool:
    return held.field != "extension_value"
