"""`shorewatch bench check`: a lab's bench looked at before its stories are told."""

import asyncio
import json as json_
import sys
from dataclasses import asdict
from pathlib import Path

STATION = Path("hil_tests/stations/bench.toml")
_MARKS = {"ok": "✓", "wrong": "✗", "left out": "–"}


def bench_check(
    file: Path, /, *, station: Path = STATION, json: Path | None = None
) -> None:  # fmt: skip
    """Look whether a bench of real boards is wired as its file says, and say what to do if not.

    Example: shorewatch bench check bench.toml

    Looks at ports and boards, switches power off and on, plays the field devices on the adapters
    and compares what both ends of each bus saw, and moves each contact. Boards are only read; they
    must have the plan of the bench's station: shorewatch plan push hil_tests/stations/bench.toml
    north. Exit code 1 if anything is wrong.

    Parameters
    ----------
    file
        The bench, as hil_tests/README.md describes.
    station
        The station whose boards these are, by default that of a checkout of Shorewatch.
    json
        Write the findings there.
    """
    from shorewatch.errors import UsageError
    from shorewatch.hil.check import Finding, check
    from shorewatch.hil.file import load_bench

    if not station.is_file():
        raise UsageError(
            f"--station {station} is not there: run it in a checkout, or name the file"
        )
    bench = load_bench(file)

    async def look() -> list[Finding]:
        found = []
        async for finding in check(bench, station):
            print(f"{_MARKS[finding.verdict]} {finding.what}: {finding.text}", flush=True)
            found.append(finding)
        return found

    found = asyncio.run(look())
    if json is not None:
        rows = [asdict(finding) for finding in found]
        json.write_text(json_.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if wrong := sum(finding.verdict == "wrong" for finding in found):
        print(f"{wrong} to put right; then look again")
        sys.exit(1)
    print("The bench is as its file says: pytest hil_tests --bench", file)
