"""The commissioning record: one JSON object, and the same as a page to print and to sign. Pure.

The page is one file without scripts, pictures or anything from elsewhere. It is built as a tree of
elements, so that no text, whoever wrote it, can become markup. Its foot carries the SHA-256 of the
JSON record, by which paper and file belong together.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from shorewatch.field.commission import Kind, Outcome, Result, Step, newest

FORMAT = 1
_STYLE = """
body { font: 10pt/1.35 sans-serif; margin: 1.5em auto; max-width: 60em; color: #000; }
table { border-collapse: collapse; width: 100%; margin: .5em 0 1.2em; page-break-inside: auto; }
tr { page-break-inside: avoid; } thead { display: table-header-group; }
td, th { border: 1px solid #888; padding: .2em .4em; text-align: left; vertical-align: top; }
.fail, .open { font-weight: bold; background: #eee; }
.sign td { height: 3.5em; } h1 { font-size: 15pt; } h2 { font-size: 12pt; }
footer { font-size: 8pt; }
"""
_SIGNS = {Outcome.PASS: "✓ pass", Outcome.FAIL: "✕ FAIL", Outcome.NOTE: "note",
          Outcome.OPEN: "OPEN"}  # fmt: skip


def record(
    facts: Mapping[str, Any], plan: Sequence[Step], results: Sequence[Result], buses: Sequence[Any]
) -> dict[str, Any]:
    """The record; `facts` are times, versions and identities, `buses` statistics and advice."""
    last = newest(results)
    rows = [_row(step, last.get(step.id)) for step in plan]
    failed = [row["id"] for row in rows if row["outcome"] == Outcome.FAIL]
    left = [row["id"] for row in rows if row["outcome"] == Outcome.OPEN]
    return {
        "format": FORMAT,
        **facts,
        "by": sorted({result.by for result in results}),
        "how": sorted({result.how for result in last.values()}),
        "is_complete": not left,
        "is_passed": not left and not failed,
        "failed": failed,
        "open": left,
        "steps": rows,
        "buses": list(buses),
        "attempts": [result.as_row() for result in results],
    }


def _row(step: Step, result: Result | None) -> dict[str, Any]:
    head = {"id": step.id, "kind": str(step.kind), "name": step.name, "range": step.limits}
    if result is None:
        return {**head, "outcome": Outcome.OPEN.value, "why": "not looked at", "reading": None}
    return {**head, **{k: v for k, v in result.as_row().items() if k != "id"}}


def digest(body: Mapping[str, Any]) -> str:
    """The SHA-256 of a record as it is written."""
    return hashlib.sha256(written(body)).hexdigest()


def written(body: Mapping[str, Any]) -> bytes:
    """The JSON of a record, the same for the same record."""
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def page(body: Mapping[str, Any]) -> bytes:
    """The record as one HTML file."""
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    title = f"Commissioning record: {body['station_name']}, board {body['board']}"
    SubElement(head, "title").text = title
    SubElement(head, "style").text = _STYLE
    main = SubElement(html, "body")
    SubElement(main, "h1").text = title
    verdict = "Everything passed." if body["is_passed"] else _verdict(body)
    SubElement(main, "p", {"class": "" if body["is_passed"] else "fail"}).text = verdict
    _facts(main, body)
    for kind, heading in (
        (Kind.IDENTITY, "Board"),
        (Kind.POINT, "Points"),
        (Kind.CONTACT, "Contacts"),
        (Kind.BUS, "Buses"),
    ):
        _steps(main, heading, [row for row in body["steps"] if row["kind"] == kind])
    _counts(main, body["buses"])
    _signatures(main)
    foot = SubElement(main, "footer")
    foot.text = f"SHA-256 of the record (JSON): {digest(body)}"
    text: bytes = tostring(html, encoding="utf-8", method="html")
    return b"<!doctype html>\n" + text + b"\n"


def _verdict(body: Mapping[str, Any]) -> str:
    parts = []
    if body["failed"]:
        parts.append(f"Failed: {', '.join(body['failed'])}.")
    if body["open"]:
        parts.append(f"Not looked at: {', '.join(body['open'])}.")
    return " ".join(parts)


def _facts(main: Element, body: Mapping[str, Any]) -> None:
    rows = [
        ("Station", f"{body['station_name']} ({body['station']}), cable {body['cable']}"),
        ("Board", f"{body['board']}, type {body['board_type']}, unique id {body['unique_id']}"),
        ("Firmware, plan", f"{body['firmware']}, plan {body['plan']}"),
        ("Gateway", f"Shorewatch {body['version']}, configuration {body['config']}"),
        ("By", f"{', '.join(body['by'])} ({', '.join(body['how'])})"),
        ("From, to", f"{body['begun_at']}, {body['ended_at']}"),
        ("Read through", body["source"]),
        ("Clock", body["clock"]),
    ]
    _table(main, None, [tuple(map(str, row)) for row in rows])


def _steps(main: Element, heading: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    SubElement(main, "h2").text = heading
    cells, marks = [], []
    for row in rows:
        seen = row["reading"] or {}
        value = f"{seen.get('text', '')} {seen.get('unit', '')}".strip()
        quality = " ".join(filter(None, (seen.get("quality"), seen.get("reason"))))
        at = str(seen.get("acquired_at") or row.get("at", ""))[:19].replace("T", " ")
        told = f"{_SIGNS[Outcome(row['outcome'])]} ({row.get('how', 'nobody')})"
        cells.append((row["name"], row["id"], value, quality, row["range"], at, told, row["why"]))
        marks.append(str(row["outcome"]))
    heads = ("what", "id", "value", "quality", "range", "when (UTC)", "result", "remark")
    _table(main, heads, cells, marks)


def _counts(main: Element, buses: Sequence[Mapping[str, Any]]) -> None:
    for bus in buses:
        SubElement(main, "h2").text = f"Statistics: {bus['where']}"
        counts = bus["counts"]
        _table(main, tuple(counts), [tuple(str(value) for value in counts.values())])


def _signatures(main: Element) -> None:
    SubElement(main, "h2").text = "Signed"
    rows = [(who, "", "", "") for who in ("Commissioned by", "Witnessed by")]
    _table(main, ("", "name", "date", "signature"), rows, [], "sign")


def _table(
    main: Element,
    heads: Sequence[str] | None,
    rows: Sequence[Sequence[str]],
    marks: Sequence[str] = (),
    kind: str = "",
) -> None:
    table = SubElement(main, "table", {"class": kind})
    if heads is not None:
        line = SubElement(SubElement(table, "thead"), "tr")
        for text in heads:
            SubElement(line, "th").text = _plain(text)
    body = SubElement(table, "tbody")
    for at, row in enumerate(rows):
        line = SubElement(body, "tr", {"class": marks[at] if at < len(marks) else ""})
        for text in row:
            SubElement(line, "td").text = _plain(text)


def _plain(text: str) -> str:
    """What may stand in a page: control characters may not."""
    return "".join(c if c.isprintable() else "?" for c in text)
