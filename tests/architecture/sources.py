"""The source tree as the architecture tests see it: modules, what they import, what they define."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"


class Import(NamedTuple):
    """One import statement's target: for ``from a import b`` this is ``a.b`` where that is a module, else ``a``."""

    module: str
    line: int
    at_start: bool  # executed when the importing module is: not in a function, not under TYPE_CHECKING
    typing_only: bool


class Module(NamedTuple):
    """One file of the package."""

    name: str
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """The part of the house: ``spec`` of ``utsuwa.spec.codec``, ``errors`` of ``utsuwa.errors``."""
        return self.name.split(".")[1] if "." in self.name else ""

    def place(self, line: int) -> str:
        """Where a reader finds a line of it."""
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def modules() -> dict[str, Module]:
    """All Python modules of the package by their full names."""
    paths = {_name(path): path for path in sorted((SRC / "utsuwa").rglob("*.py"))}
    assert len(paths) > 20, "the package is not where it should be"
    found = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(), str(path))
        found[name] = Module(name, path, tree, tuple(_imports(tree, frozenset(paths), name, path)))
    return found


def ours(name: str) -> bool:
    """A module of this package."""
    return name == "utsuwa" or name.startswith("utsuwa.")


def _name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, known: frozenset[str], name: str, path: Path) -> Iterator[Import]:
    for node, deferred, typing_only in _statements(tree.body, False, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, not deferred and not typing_only, typing_only)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + (path.name == "__init__.py")]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                target = whole if whole in known else base
                yield Import(target, node.lineno, not deferred and not typing_only, typing_only)


def _statements(body: list[ast.stmt], deferred: bool, typing_only: bool) -> Iterator[tuple[ast.stmt, bool, bool]]:
    """All statements, each with: runs only when called; is only for type checkers."""
    for node in body:
        yield node, deferred, typing_only
        inside = deferred or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        checked = typing_only or (isinstance(node, ast.If) and _mentions_type_checking(node.test))
        for field in ("body", "finalbody"):
            yield from _statements(getattr(node, field, []), inside, checked)
        yield from _statements(getattr(node, "orelse", []), inside, typing_only)
        for handler in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(handler.body, inside, typing_only)


def _mentions_type_checking(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "TYPE_CHECKING" for node in ast.walk(test))
