"""profilecheck.py, profilecli.py: what a person is told who writes a profile."""

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from shorewatch.plan import blocks_alone
from shorewatch.point import Point
from shorewatch.profile import Profile, Whole, load_profile, load_profiles
from shorewatch.profilecheck import summary
from shorewatch.sign import Sign
from shorewatch.tie import QualityBy, ScaleBy

README = Path(load_profile.__code__.co_filename).parent / "profiles" / "README.md"
EXAMPLE = re.search(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)[1]


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shorewatch", "profile", "check", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def shown(profile: Profile) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(summary(profile))
    return console.file.getvalue()


def test_the_example_of_the_readme_can_be_used(write):
    """The device type that the README shows passes the check."""
    done = run(write("tank-gauge.toml", EXAMPLE))

    assert done.returncode == 0, done.stderr
    assert "tank-gauge: Tank gauge, example, 6 points, no errors" in done.stdout


def test_the_example_reads_as_the_readme_says(write):
    """In the example, three registers decode to a level, its health and the pump."""
    profile = load_profile(write("tank-gauge.toml", EXAMPLE))
    (block,) = [b for b in blocks_alone(profile, 9600) if b.address == 0]

    found = block.decoder.decode([1234, 2, 0x8000])

    assert (found["level"], found["health"], found["pump"]) == (12.34, "sound", True)


def test_every_key_is_in_the_readme():
    """No key of a profile goes unexplained, and no other is explained."""
    told = {
        key
        for line in README.read_text().splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    keys = {*Profile.model_fields, *Point.model_fields, *Sign.model_fields}

    assert keys - told == set()
    assert {key for key in told if "_" in key} <= keys


def test_every_key_of_an_inner_table_is_in_the_readme():
    """The keys of `whole`, `scale_by` and `quality_by` are named beside them."""
    text = README.read_text()
    inner = {*Whole.model_fields, *ScaleBy.model_fields, *QualityBy.model_fields}

    assert {key for key in inner if f"`{key}`" not in text} == set()
    assert 'quality_by = { point = "health"' in text


def test_every_shipped_profile_is_in_the_readme():
    """The README lists the profiles that there are, and no others."""
    table = README.read_text().partition("## What is shipped")[2]
    told = {name for line in table.splitlines() for name in re.findall("`(.*?)`", line[:60])}

    assert told == set(load_profiles())


def test_a_bad_profile_lists_all_errors_with_lines(write):
    """check names line, key, value and rule of every mistake, and exits with 78."""
    text = EXAMPLE.replace("digits = 2", "digit = 2").replace("range = [0, 4]", "range = [4, 0]")
    path = write("tank-gauge.toml", text)

    done = run(path)

    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    lines = {row: number for number, row in enumerate(text.splitlines(), 1)}
    assert f"{path}:{lines['digit = 2']}: point.0.digit:" in done.stderr
    assert f"{path}:{lines['range = [4, 0]']}: point.1.range:" in done.stderr


def test_the_id_of_a_shipped_profile_is_taken(write):
    """A profile that would hide a shipped one is refused before a station is."""
    done = run(write("sdm630.toml", EXAMPLE.replace('id = "tank-gauge"', 'id = "sdm630"')))

    assert done.returncode == 78
    assert "already a shipped profile" in done.stderr


def test_a_file_that_is_not_named_after_its_id_is_told(write):
    """A station finds a profile by its file's name, so both must agree."""
    done = run(write("gauge.toml", EXAMPLE))

    assert done.returncode == 78
    assert "gauge.toml:2: id: must equal the file's name, 'gauge'" in done.stderr


def test_the_summary_has_every_request_with_its_time():
    """Each request stands with function, addresses and wire time at both baud rates."""
    text = shown(load_profiles()["xy-md02"])

    # 13 + 4 characters of 11 bits, twice t3.5, 5 ms: 32.5 ms at 9600, 18.7 ms at 19200.
    assert re.search(r"04 +1 to 2 +2 s +2 +32\.5 ms +18\.7 ms", text)
    assert re.search(r"bus busy +1\.6% +0\.9%", text)


def test_a_request_that_only_one_baud_rate_has_stands_alone():
    """Where a faster line is split otherwise, the requests of each rate are told apart."""
    text = shown(load_profiles()["apc-smart-ups"])

    # In the order of periods and addresses, so that the two ways to read 0 to 22 stand together.
    slow, fast = r"03 +0 to 4 +1 s +3 +39\.4 ms *\n", r" *03 +0 to 22 +1 s +6 +42\.8 ms *\n"
    assert re.search(slow + fast, text)


def test_the_summary_says_what_boards_stamp():
    """Watched bits and thresholds are listed, and nothing where there are none."""
    assert "changes of shutdown imminent" in shown(load_profiles()["apc-smart-ups"])
    assert "stamped by the board" not in shown(load_profiles()["sdm630"])


def test_a_name_is_no_markup(write):
    """Brackets in a profile's words are shown as they are."""
    text = EXAMPLE.replace('"Tank gauge, example"', '"[red]gauge[/blue]"')

    assert "[red]gauge[/blue]" in shown(load_profile(write("tank-gauge.toml", text)))
