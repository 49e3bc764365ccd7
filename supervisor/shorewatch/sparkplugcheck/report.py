"""What the judge found, as text for people and JSON for machines. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from shorewatch.sparkplugcheck.book import Broken, Evidence, Verdict
from shorewatch.sparkplugcheck.demands import DEMANDS, RULES, TOTAL, level_of
from shorewatch.sparkplugcheck.judge import Judge
from shorewatch.sparkplugcheck.scope import OTHERS, UNJUDGED

_SHOWN: Final = 3


def is_failed(judge: Judge) -> bool:
    """Whether a MUST is broken, of Sparkplug or of MQTT's own form."""
    is_broken = any(verdict.word == "failed" for verdict in judge.book.verdicts())
    return is_broken or bool(judge.not_mqtt)


def text(judge: Judge) -> str:
    """Failures with their evidence first, then what SHOULD be better, then the counts."""
    verdicts = judge.book.verdicts()
    broken = sorted(judge.book.broken().values(), key=lambda b: DEMANDS[b.demand].level)
    lines = [f"FAILED  entry {n} is no MQTT: {why}\n" for n, why in judge.not_mqtt.items()]
    lines += [line for found in broken for line in _demand(found)]
    return "\n".join([*lines, *_counts(judge, verdicts)])


def _demand(found: Broken) -> Iterator[str]:
    demand = DEMANDS[found.demand]
    word = "FAILED" if demand.level == "must" else "WARNED"
    yield f"{word}  {demand.text}"
    yield f"  broken {found.count} of {found.judged} times; it is part of"
    yield from (f"    tck-id-{rule}" for rule in demand.ids)
    for evidence in found.evidence[:_SHOWN]:
        yield f"  {_place(evidence)}"
        subject = f"{evidence.field}: " if evidence.field else ""
        yield f"    {subject}{evidence.seen}"
    yield ""


def _place(evidence: Evidence) -> str:
    at = datetime.fromtimestamp(evidence.at_s, UTC)
    topic = f", {evidence.topic}" if evidence.topic else ""
    place = f"entry {evidence.number}, connection {evidence.connection}"
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} UTC, {place}{topic}"


def _counts(judge: Judge, verdicts: list[Verdict]) -> Iterator[str]:
    words = Counter(verdict.word for verdict in verdicts)
    nodes = ", ".join(judge.nodes) or "none"
    yield f"edge node: {nodes}"
    yield (
        f"{words['failed']} failed, {words['warned']} warned, {words['passed']} passed, "
        f"{words['not-exercised']} not exercised (--json FILE names them)"
    )
    yield (
        f"covers {len(RULES)} of the {len(RULES) + len(UNJUDGED)} assertions on edge nodes"
        f" ({TOTAL} in all; {len(OTHERS)} are on hosts and brokers)"
    )


def as_json(judge: Judge) -> dict[str, Any]:
    """All of it, with every assertion of the specification."""
    verdicts = judge.book.verdicts()
    return {
        "ok": not is_failed(judge),
        "edge_nodes": judge.nodes,
        "not_mqtt": judge.not_mqtt,
        "covers": {"judged": len(RULES), "edge_node": len(RULES) + len(UNJUDGED), "all": TOTAL},
        "counts": dict(Counter(verdict.word for verdict in verdicts)),
        "verdicts": {
            f"tck-id-{verdict.rule}": {
                "verdict": verdict.word,
                "level": level_of(verdict.rule),
                "judged": verdict.judged,
                "demands": [DEMANDS[key].text for key in RULES[verdict.rule]],
                "broken": [_broken_json(found) for found in verdict.broken],
            }
            for verdict in verdicts
        },
        "not_judged": {f"tck-id-{rule}": reason for rule, reason in {**UNJUDGED, **OTHERS}.items()},
    }


def _broken_json(found: Broken) -> dict[str, Any]:
    return {
        "demand": DEMANDS[found.demand].text,
        "count": found.count,
        "judged": found.judged,
        "evidence": [asdict(evidence) for evidence in found.evidence],
    }
