"""Programs that tests need and a machine may lack."""

import os
import shutil

import pytest


def need(program: str) -> str:
    """The path of `program`; skips the test if it is missing, or fails it where CI wants all."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if path is not None:
        return path
    reason = f"{program} is not installed"
    if os.environ.get("SHOREWATCH_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
