"""The documents of the runtime load nothing that a process of a few milliseconds could not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import utsuwa

SOURCE = Path(utsuwa.__file__).parent.parent
PROGRAM = """
import sys
before = set(sys.modules)
sys.path.insert(0, {source!r})
import {module}
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("utsuwa")))
"""


@pytest.mark.parametrize(
    "module",
    [
        "identifiers",
        "spec.codec",
        "spec.default",
        "spec.features",
        "spec.flags",
        "spec.mount",
        "spec.request",
        "spec.runtime",
        "spec.seldom",
        "spec.state",
        "spec.validate",
    ],
)
def test_imports_builtin_and_c_modules_only(module: str) -> None:
    program = PROGRAM.format(source=str(SOURCE), module=f"utsuwa.{module}")
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"__future__", "_json", "posix"}


def test_seldom_objects_load_when_first_named() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import utsuwa.spec.runtime as runtime; "
        "print('utsuwa.spec.seldom' in sys.modules, runtime.BlockIO.__name__, 'utsuwa.spec.seldom' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "BlockIO", "True"]
