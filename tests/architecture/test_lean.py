"""Lean packages load nothing but builtin modules, and `urun` really starts without the rest of the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import CHEAP, EXTENSIONS, LEAN, LEAN_MODULES
from tests.architecture.sources import SRC, Module, modules, ours

PYTHON = "/usr/bin/python3"
"""The interpreter that urun is made for; what is builtin differs between builds."""

ALLOWED = frozenset(sys.builtin_module_names) | CHEAP | EXTENSIONS
# What the imports of ALLOWED bring along.
_BROUGHT = frozenset({"_collections_abc", "genericpath", "abc", "codecs", "encodings", "io"})


def _lean(module: Module) -> bool:
    return module.package in LEAN or module.name in LEAN_MODULES


def test_the_modules_of_urun_exist() -> None:
    assert set(modules()) >= LEAN_MODULES


def test_lean_modules_load_builtin_modules_only() -> None:
    wrong = [
        f"{module.place(item.line)}: {item.module}"
        for module in modules().values()
        if _lean(module)
        for item in module.imports
        if item.at_start and not ours(item.module) and item.module not in ALLOWED
    ]
    assert wrong == []


def test_lean_modules_load_lean_modules_only() -> None:
    wrong = [
        f"{module.place(item.line)}: {item.module}"
        for module in modules().values()
        if _lean(module)
        for item in module.imports
        if item.at_start and item.module in modules() and item.module != "utsuwa" and not _lean(modules()[item.module])
    ]
    assert wrong == []


def _loaded_by(code: str) -> set[str]:
    """The modules that an interpreter without site has after ``code`` and had not before."""
    program = f"import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); {code}\n"
    program += "print(*sorted(set(sys.modules) - before), sep='\\n')"
    run = subprocess.run([PYTHON, "-I", "-S", "-c", program, str(SRC)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def _foreign(loaded: set[str]) -> set[str]:
    return {name for name in loaded if not ours(name) and name.split(".")[0] not in ALLOWED | _BROUGHT}


@pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"no {PYTHON}")
def test_urun_starts_lean() -> None:
    loaded = _loaded_by("import utsuwa.cli.oci")
    assert _foreign(loaded) == set()
    assert {name for name in loaded if ours(name) and name in modules() and not _lean(modules()[name])} <= {"utsuwa"}


@pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"no {PYTHON}")
@pytest.mark.parametrize("package", sorted(LEAN))
def test_every_module_of_a_lean_package_loads_lean(package: str) -> None:
    names = sorted(name for name, module in modules().items() if module.package == package)
    assert names
    assert _foreign(_loaded_by("import " + ", ".join(names))) == set()
