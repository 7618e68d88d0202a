"""`import utsuwa`: nothing is loaded before it is used, and all that is promised is there."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import utsuwa
from tests.architecture.sources import SRC, modules

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import utsuwa
print(*sorted(set(sys.modules) - before))
"""


def _promised() -> set[str]:
    """The names that type checkers see."""
    (block,) = (node for node in modules()["utsuwa"].tree.body if isinstance(node, ast.If) and node.lineno < 50)
    found = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in found for alias in node.names}


def test_importing_it_loads_nothing_else() -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SRC)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["utsuwa"]


def test_what_type_checkers_see_is_there_and_nothing_else() -> None:
    promised = _promised()
    assert len(promised) > 20
    assert {name for name in dir(utsuwa) if name[0] != "_"} - {"TYPE_CHECKING"} >= promised
    for name in promised:
        assert getattr(utsuwa, name) is not None
    assert set(utsuwa._MODULES) | {name for names in utsuwa._HOMES.values() for name in names.split()} == promised


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        utsuwa.frobnicate  # type: ignore[attr-defined]  # noqa: B018
