"""Options that several of a technician's commands have, with their help."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Ports = Annotated[
    list[str],
    Parameter(
        name="--port", negative="", help="A port that USB does not tell of; can be repeated."
    ),
]
StateDir = Annotated[
    Path | None,
    Parameter(help="State directory of a station that runs here (default: found by itself)."),
]
Unit = Annotated[int | None, Parameter(help="Unit id of the board's link (default: 1).")]
Json = Annotated[Path | None, Parameter(help="Write what was found as JSON to this file.")]
By = Annotated[str | None, Parameter(help="Who does it (default: the user who is logged in).")]
Record = Annotated[
    Path | None, Parameter(help="Append what was done as a line of JSON to this file.")
]
Yes = Annotated[
    bool, Parameter(negative="", help="Go on where a person would be asked: you have looked.")
]
Station = Annotated[
    Path | None, Parameter(help="Station file: the board gets its role, settings and plan, too.")
]
BoardId = Annotated[str | None, Parameter(help="Which of the station's boards this one is.")]
