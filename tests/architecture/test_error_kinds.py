"""Every door maps every kind of error: nobody sees a traceback, and every failure has an exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import SRC
from utsuwa import errors

PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
kind = sys.argv.pop(1)
from utsuwa import errors
from utsuwa.cli import oci
import utsuwa.runtime.state as state
def fail(*_args, **_kwargs):
    raise getattr(errors, kind)("the reason")
for name in [name for name in vars(state) if not name.startswith("_") and callable(getattr(state, name))]:
    setattr(state, name, fail)
oci.main()
"""


def test_the_vocabulary_is_closed() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.Error)}
    assert classes == {errors.Error, *errors.KINDS}


@pytest.mark.parametrize("kind", [kind.__name__ for kind in errors.KINDS])
def test_urun_maps_every_kind(kind: str, tmp_path: object) -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SRC), kind, "--root", str(tmp_path), "state", "x"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "the reason" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
