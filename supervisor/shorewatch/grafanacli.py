"""`shorewatch grafana`: a station's dashboard as a file."""

import json
from pathlib import Path

from shorewatch.errors import UsageError


def grafana(station: Path, /, *, out: Path) -> None:
    """Write a Grafana dashboard of a station's figures, with the limits of its alarms as lines.

    Example: shorewatch grafana sumqayit.toml --out sumqayit-dashboard.json

    Prometheus fetches the figures from /metrics of the station's page; import the file in Grafana
    (Dashboards, New, Import) and name that Prometheus as its data source.

    Parameters
    ----------
    station
        The station file.
    out
        The file to write.
    """
    from shorewatch.config import load_station
    from shorewatch.grafana import dashboard

    found = dashboard(load_station(station))
    try:
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}; choose another file") from error
    print(f"{out}: {len(found['panels'])} panels")
