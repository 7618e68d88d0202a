"""The file of frozen modules: used where it fits the interpreter and the sources, and left aside where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.init.test_launcher import build, call

FREEZE = Path(__file__).resolve().parents[3] / "tools" / "freeze.py"
PROGRAM = """
from __future__ import annotations
import sys
def main() -> Anything:
    print(VALUE, __file__, type(__loader__).__name__, "__future__" in sys.modules, __package__)
    return 0
VALUE = {value!r}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A dummy of the package."""
    (tmp_path / "src" / "utsuwa" / "cli").mkdir(parents=True)
    for name in ("__init__", "cli/__init__"):
        (tmp_path / "src" / "utsuwa" / f"{name}.py").write_text("")
    write(tmp_path / "src", "first")
    return tmp_path / "src"


def write(source: Path, value: str) -> None:
    (source / "utsuwa" / "cli" / "oci.py").write_text(PROGRAM.format(value=value))


def freeze(source: Path, *options: str) -> Path:
    target = source / "utsuwa" / "cli" / "modules.frozen"
    subprocess.run([sys.executable, FREEZE, source / "utsuwa", target, *options], check=True)
    return target


def run(source: Path) -> list[str]:
    """What the program prints: its value, its file, whether __future__ was loaded, its package."""
    result = call(build(source.parent / "bin" / "urun", package=str(source)))
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def frozen(source: Path, value: str) -> list[str]:
    return [value, str(source / "utsuwa" / "cli" / "oci.py"), "type", "False", "utsuwa.cli"]


def plain(source: Path, value: str) -> list[str]:
    return [value, str(source / "utsuwa" / "cli" / "oci.py"), "SourceFileLoader", "True", "utsuwa.cli"]


@pytest.mark.parametrize("options", [(), ("--stamped",)])
def test_frozen_modules_are_used(source, options):
    freeze(source, *options)
    assert run(source) == frozen(source, "first")


def test_changed_source_wins_in_a_checkout(source):
    freeze(source, "--stamped")
    write(source, "second")
    assert run(source) == plain(source, "second")
    freeze(source, "--stamped")
    assert run(source) == frozen(source, "second")


def test_source_of_the_same_size_and_another_time_wins(source):
    freeze(source, "--stamped")
    write(source, "FIRST")
    os.utime(source / "utsuwa" / "cli" / "oci.py", ns=(1, 1))
    assert run(source) == plain(source, "FIRST")


def test_file_of_another_interpreter_is_left_aside(source):
    target = freeze(source)
    target.write_bytes(b"\0\0\r\n" + target.read_bytes()[4:])
    assert run(source) == plain(source, "first")


def test_module_that_is_newer_than_the_file_is_found(source):
    freeze(source, "--stamped")
    (source / "utsuwa" / "added.py").write_text("VALUE = 'added'")
    write(source, "x")
    (source / "utsuwa" / "cli" / "oci.py").write_text("from utsuwa.added import VALUE\ndef main(): print(VALUE)")
    assert run(source) == ["added"]


def test_traceback_tells_the_line(source):
    (source / "utsuwa" / "cli" / "oci.py").write_text("def main():\n    raise KeyError('oops')\n")
    freeze(source, "--stamped")
    result = call(build(source.parent / "bin" / "urun", package=str(source)))
    assert result.returncode == 1
    assert f'File "{source}/utsuwa/cli/oci.py", line 2' in result.stderr
