"""The reader of imports, which all other architecture tests trust."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.sources import SRC, Import, _imports

KNOWN = frozenset({"utsuwa.spec", "utsuwa.spec.codec", "utsuwa.errors"})


def read(source: str, name: str = "utsuwa.spec.state") -> set[Import]:
    path = SRC / Path(*name.split(".")).with_suffix(".py")
    return set(_imports(ast.parse(source), KNOWN, name, path))


def test_a_module_is_told_from_a_name_in_a_package() -> None:
    assert read("from utsuwa.spec import codec, Spec") == {
        Import("utsuwa.spec.codec", 1, True, False),
        Import("utsuwa.spec", 1, True, False),
    }


def test_relative_imports_are_resolved() -> None:
    assert {
        item.module for item in read("from . import codec\nfrom .codec import parse\nfrom ..errors import Error")
    } == {
        "utsuwa.spec.codec",
        "utsuwa.errors",
    }


def test_what_runs_later_or_never_is_told_apart() -> None:
    source = """
if TYPE_CHECKING:
    import a
else:
    import b
try:
    import c
except ImportError:
    import d
def function():
    with x:
        import e
class Body:
    import f
"""
    found = {item.module: (item.at_start, item.typing_only) for item in read(source)}
    now, later, never = (True, False), (False, False), (False, True)
    assert found == {"a": never, "b": now, "c": now, "d": now, "e": later, "f": now}
