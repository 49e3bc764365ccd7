"""A Sparkplug topic taken apart, and what its form alone must be. Pure.

namespace/group/type/edge node[/device]        spBv1.0/STATE/host
"""

from dataclasses import dataclass
from typing import Final

from shorewatch.sparkplugcheck.book import Book
from shorewatch.sparkplugcheck.packet import is_utf8

NAMESPACE: Final = "spBv1.0"
NODE_KINDS: Final = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS: Final = ("DBIRTH", "DDATA", "DDEATH")
COMMANDS: Final = ("NCMD", "DCMD")
STATE: Final = f"{NAMESPACE}/STATE/"
_RESERVED = "+#\0"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of an edge node; `device` is None for the node itself."""

    group: str
    kind: str
    edge: str
    device: str | None

    @property
    def node(self) -> tuple[str, str]:
        """The edge node's descriptor."""
        return self.group, self.edge


def parse_topic(text: str) -> Topic | None:
    """The topic if it has the form that its type asks for; the ids may still be wrong."""
    levels = text.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE or not all(levels):
        return None
    has_device = len(levels) == 5
    if levels[2] not in ((*DEVICE_KINDS, "DCMD") if has_device else (*NODE_KINDS, "NCMD")):
        return None
    return Topic(levels[1], levels[2], levels[3], levels[4] if has_device else None)


def host_of(text: str) -> str | None:
    """The host whose STATE has this topic, or None: a filter for several names none."""
    host = text.removeprefix(STATE)
    return host if text.startswith(STATE) and host and not set(host) & set("+#/") else None


def judge_topic(book: Book, text: str) -> Topic | None:
    """Judge the form of a topic that an edge node publishes to; the topic if it can be used."""
    levels = text.split("/")
    kind = next((level for level in levels[2:3] if level in (*NODE_KINDS, *DEVICE_KINDS)), None)
    is_known = kind is not None or levels[2:3] in ([name] for name in COMMANDS)
    book.judge("structure", is_known and 4 <= len(levels) <= 5 and all(levels), text, field="topic")
    book.judge("namespace", levels[0] == NAMESPACE, levels[0], field="namespace")
    if kind in DEVICE_KINDS:
        book.judge("device-level", len(levels) >= 5, text, field="topic")
    elif kind is not None:
        book.judge("no-device-level", len(levels) == 4, text, field="topic")
    for name, level in zip(("group", "", "edge", "device"), levels[1:5], strict=False):
        if name and kind is not None:
            is_text = is_utf8(level)
            book.judge(f"{name}-text", is_text, level, field=f"{name} id")
            book.judge(f"{name}-chars", not set(level) & set(_RESERVED), level, field=f"{name} id")
    topic = parse_topic(text)
    if topic is None and kind is not None:
        book.judge(f"{kind.lower()}-topic", False, text, field="topic")
    return topic if kind is not None else None
