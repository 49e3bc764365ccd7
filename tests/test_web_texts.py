"""The page's words: each stands in the table of a language, and in no source."""

import json
import re
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from programs import need
from test_web import STATIC, _good, _snapshot, page
from test_web_past import Journal, records

from shorewatch import status, verdict
from shorewatch.bench.browser import opened
from shorewatch.cable.budget import Shown
from shorewatch.cable.picture import picture
from shorewatch.describe import describe
from shorewatch.diary import Diary
from shorewatch.image import Image
from shorewatch.model import to_text, utc_now
from shorewatch.mqtt.desk import Requests
from shorewatch.store import Record
from shorewatch.texts import Texts, english
from shorewatch.web import action, guard

SOURCES = {path.name: path.read_text() for path in STATIC.glob("*.*") if path.suffix != ".svg"}
VIEWS = ("/", "/devices", "/device/room", "/device/attic", "/alarms", "/diagnostics", "/trend")
# What a viewer sees or hears of an element.
WORDS = """
(() => {
  const found = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (!parentElement.closest("script, svg.main-svg")) found.push(data);
  }
  for (const node of document.querySelectorAll("body *")) {
    for (const name of ["aria-label", "title", "placeholder", "alt"]) {
      if (!node.closest(".js-plotly-plot")) found.push(node.getAttribute(name) ?? "");
    }
  }
  return found;
})()
"""


# Literals of the scripts that look like words and are none: selectors, options of Plotly, names.
NO_WORDS = {
    "dialog .cancel", "nav a", "x unified", "(prefers-color-scheme: dark)", ".5rem solid",
    "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage", "Shorewatch",
}  # fmt: skip
UNITS = {"km", "ms", "ppm", "V", "A", "kB", "UTC", "MB", "mA", "Ohm", "h", "d", "min", "s"}


def _literals(script):
    """The strings of a script as they stand between places, without its comments."""
    code = re.sub(r"(?<![:\"])//.*", "", script)
    for plain, pattern in re.findall(r'"([^"\n]*)"|`([^`]*)`', code):
        yield from [plain] if plain else re.split(r"\$\{(?:[^{}]|\{[^{}]*\})*\}", pattern)


def test_no_script_has_words_of_its_own():
    """What has a space or a capital letter in it is a class, a unit, a selector or a name."""
    classes = set(re.findall(r"[.#]([a-zA-Z][\w-]*)", SOURCES["page.css"]))
    found = []
    for name, script in SOURCES.items():
        for literal in _literals(script) if name.endswith(".js") else ():
            words = re.findall(r"[^\W\d_][\w-]*", literal)
            is_said = re.search(r"[A-Z][a-z]|[a-z]{2} | [a-z]{2}", literal)
            if is_said and literal.strip(" ·") not in NO_WORDS and {*words} - classes - UNITS:
                found.append((name, literal))
    assert found == []


def test_no_page_has_words_of_its_own():
    """Between the tags and in what is read aloud stand places of texts, and names of ours."""
    for name in ("index.html", "trend.html"):
        page_ = re.sub(r"\{\{[\w.-]+\}\}", "", SOURCES[name])
        said = re.findall(r">([^<]*)<", page_)
        said += re.findall(r'(?:title|alt|placeholder|aria-label)="([^"]*)"', page_)
        words = {word for text in said for word in re.findall(r"[^\W\d_]+", text)}
        assert words == {"Shorewatch", "UTC"}


def test_each_key_that_a_source_names_has_a_text():
    """A key that is not there would stop a view."""
    known = english().by_key
    groups = {key.partition(".")[0] for key in known if "." in key}
    keys = set()
    for text in SOURCES.values():
        keys |= set(re.findall(r"\{\{([\w.-]+)\}\}", text)) | set(
            re.findall(r'\bt\("([\w.-]+)"', text)
        )
        named = re.findall(r'"(([a-z]+)\.[\w.-]+)"', text)
        keys |= {key for key, group in named if group in groups}

    assert len(keys) > 150
    assert keys - known.keys() == {"language"}


def test_each_text_is_used():
    """By its key, or as one of a kind: what nothing says need not be translated."""
    kinds = {kind for text in SOURCES.values() for kind in re.findall(r'\bnamed\("(\w+)"', text)}
    kinds |= {kind for text in SOURCES.values() for kind in re.findall(r"t\(`(\w+)\.\$\{", text)}
    kinds |= {"certificate"}
    sources = [
        *SOURCES.values(),
        *(Path(module.__file__).read_text() for module in (verdict, status, action, guard)),
    ]
    quoted = {
        word for text in sources for word in re.findall(r'["{]([a-z_]+(?:\.[\w-]+)*)["}]', text)
    }
    quoted |= {"verdict.board", "verdict.direct"}
    assert [
        key for key in english().by_key if key not in quoted and key.partition(".")[0] not in kinds
    ] == []


class Uplink:
    """One that has everything to tell."""

    state, text, since, published, cursor = "online", "connected", utc_now(), 9, 9
    is_broker_acknowledged_only, refused_acks, plane, refused_commands = True, 2, "json", 1
    last_refusal = "x/ack/y"
    silent = dict[str, object]()
    certificates = {"own": utc_now() + timedelta(days=200.5), "broker": utc_now()}
    requests = Requests(3, 1, "x/request/y", "no key in /k")


class Scada(Uplink):
    """One that is away."""

    state, plane, silent = "unreachable", "sparkplug", {"noc": utc_now()}


def _everything(station):
    """A snapshot in which each view has much to say, and all that a page can ask besides."""
    image = Image(station)
    image.put("room", {"temperature": _good(33.5), "humidity": _good(40.0, minutes_ago=3)})
    image.put("pfe", {name: _good(1.0) for name in station.devices["pfe"].points})
    at = to_text(utc_now())
    row = {
        "id": "lid", "text": "Lid", "action": "Guard", "active": True, "source": "manhole.lid",
        "since": at, "value": True, "first_out": True, "chattering": True, "shelf_left_s": 3600,
        "note": "ali", "left_s": 60,
    }  # fmt: skip
    states = [
        "unacknowledged", "acknowledged", "returned", "latched-unacknowledged",
        "latched-acknowledged", "shelved", "suppressed", "out-of-service", "maintenance",
    ]  # fmt: skip
    priorities = ["critical", "major", "minor", "warning"] * 3
    alarms = [row | {"state": s, "priority": p} for s, p in zip(states, priorities, strict=False)]
    watch = {
        "name": "Caspian", "length_km": 380.0, "at": at, "balance_v": -135.2, "sum_v": 563.9,
        "leak_a": 0.0009, "trouble": "Aktau", "since": to_text(utc_now() - timedelta(minutes=5)),
        "ends": {
            "sumqayit": {"name": "Sumqayit", "volts": 147.0, "amps": 1.0005},
            "aktau": {"name": "Aktau", "volts": None, "amps": None},
        },
        "heard_at": None, "standing": [],
    }  # fmt: skip
    trouble = {"text": "Refused", "at": at, "problems": ["Unit"], "count": 3}
    look = _snapshot(
        station, image, {"noc": Uplink(), "scada": Scada()}, alarms=alarms * 70, trouble=trouble,
        cable=watch,
    )  # fmt: skip

    def everything():
        found = look()
        found["history"] = {
            "on": True, "health": None, "size_bytes": 5_000_000, "size_bytes_max": 256_000_000,
            "recorded": 12_345, "dropped": 3,
        }  # fmt: skip
        board = next(iter(found["boards"].values()))
        bus = {
            "uart": 0, "busy_share": 0.4, "requests": 9, "good": 8, "timeouts": 1, "crc_errors": 0,
            "exceptions": 0, "rejected": 0, "stray_bytes": 0, "slips": 0,
        }  # fmt: skip
        board |= {"up": True, "reason": None, "firmware": "1.2.3", "plan": "1a2b3c4d"}
        board |= {"boot_reason": "watchdog", "heap_free_least": 90_000, "buses": [bus]}
        counters = {
            "state": "failing", "reply_ms": 12, "reply_ms_max": 40, "good": 8, "bad": 1,
            "exception": 0,
        }  # fmt: skip
        found["devices"]["room"] |= {"counters": counters, "synthetic": True}
        return found

    return everything


@asynccontextmanager
async def _shown(station, texts):
    """The page in a language, with everything that it can show."""
    everything = _everything(station)
    block = {"function": 4, "count": 1, "exception": 0, "acquired_at": to_text(utc_now())}
    block |= {"address": 1, "words": ["00d7"], "reason": "device-timeout", "age_s": 90.0}

    def words(device_id):
        return {"device": device_id, "at": to_text(utc_now()), "blocks": [block]}

    async def history(request):
        at = to_text(utc_now())
        return {"point": request["point"], "name": "T", "unit": "V", "health": None, "spans": [
            {"from": at, "to": at, "low": 1.0, "mean": 1.0, "high": 1.0, "last": 1.0}
        ]}  # fmt: skip

    loss = Record(6, "loss", utc_now(), {"why": "full", "what": "sample", "count": 3})
    diary = Diary(Journal(*records(), loss), list)
    file = station.cable_file
    async with page(
        everything, about=describe(station), diary=diary.answer, history=history, words=words,
        draw=lambda _: picture(file, Shown(147.0, 1.0), None), texts=texts,
    ) as (_, port):  # fmt: skip
        yield port, everything


def _ready(view):
    """An expression that is true once a view has shown what it has."""
    count = {"/": "#areas article", "/devices": "#devices tr", "/alarms": "#figures article"}
    wanted = count.get(view, "#chosen button" if view == "/trend" else "#tables :is(p, td)")
    shown = ["#verdict p + p", wanted, *(["#past tr"] if view == "/alarms" else [])]
    return f"{json.dumps(shown)}.every((one) => document.querySelector(one))"


def _fragments(value):
    """The texts in a JSON value, cut where lists of words are joined, without numbers."""
    if isinstance(value, dict):
        return {one for item in value.items() for part in item for one in _fragments(part)}
    if isinstance(value, (list, tuple)):
        return {one for part in value for one in _fragments(part)}
    pieces = re.split(r"[,;:()|·/+±–✕✓?×…]|\s{2,}", value) if isinstance(value, str) else ()
    return {re.sub(r"[\d.TZ-]*\d[\d.TZ-]*", "", piece).strip(" .-\n") for piece in pieces} - {""}


@pytest.mark.parametrize("view", VIEWS)
async def test_every_word_of_a_view_is_a_text(tmp_path, sumqayit, view):
    """In a language whose texts are their keys, the rest is names, values and units."""
    chromium = need("chromium")
    keys = {key: _as_key(key, text) for key, text in english().by_key.items()}
    async with _shown(sumqayit, Texts("tlh", keys)) as (port, everything):
        points = "?points=room.temperature" if view == "/trend" else ""
        url = f"http://127.0.0.1:{port}{view}{points}"
        async with opened(chromium, url, tmp_path) as browser:
            await browser.until(_ready(view))
            said = await browser.value(WORDS)
            assert await browser.value("document.documentElement.lang") == "tlh"
        kinds = ("state", "priority", "reason", "device", "uplink")
        codes = {key.partition(".")[2] for key in keys if key.partition(".")[0] in kinds}
        known = _fragments(everything()) | _fragments(describe(sumqayit))
        known |= _fragments([one.body for one in records()]) | UNITS | {"Shorewatch", "attic"}
        known |= {"°C", "%", "Ω", "room.temperature.csv", "csv", "full", "Lid Guard"}
        rest = {one for text in said for one in _fragments(re.sub(r"‹[^‹›]*›", "|", text))}

        assert any("‹nav.alarms›" in text for text in said)
        assert rest - (known - codes) == set()


def _as_key(key, text):
    """A text that says its own key, and its places apart from each other."""
    if not isinstance(text, str):
        return {form: _as_key(key, one) for form, one in text.items()}
    return f"‹{key}›" + "|".join(re.findall(r"\{\w+\}", text))


@pytest.mark.parametrize("view", VIEWS)
async def test_texts_of_twice_the_length_fit_a_phone(tmp_path, sumqayit, view):
    """No view is wider than 390 px, and nothing is outside its card."""
    chromium = need("chromium")
    twice = {key: _twice(text) for key, text in english().by_key.items()}
    async with _shown(sumqayit, Texts("en", twice)) as (port, _):
        url = f"http://127.0.0.1:{port}{view}"
        async with opened(chromium, url, tmp_path, width=390) as browser:
            await browser.until(_ready(view).replace("#chosen button", "#spans button"))
            outside = await browser.value(
                "[...document.querySelectorAll('.card, header, nav, form, section')].flatMap((box) "
                "=> [...box.querySelectorAll('h3, p, a, button, label, select, .word')].filter("
                "(part) => part.offsetParent && !part.closest('.scroll') && "
                "part.getBoundingClientRect().right > box.getBoundingClientRect().right + 1))"
                ".map((part) => part.innerText).slice(0, 5)"
            )
            assert outside == []
            assert await browser.value("document.documentElement.scrollWidth") <= 390


def _twice(text):
    if isinstance(text, str):
        return f"{text} {text}"
    return {form: _twice(one) for form, one in text.items()}
