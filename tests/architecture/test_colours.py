"""Synchronous packages know nothing of asyncio, and asynchronous modules are called from functions that run a loop."""

from __future__ import annotations

import ast

from tests.architecture.house import ASYNC, BRIDGES
from tests.architecture.sources import Module, modules

_LOOPS = frozenset({"asyncio", "aiohttp", "anyio", "trio", "uvloop"})


def _asynchronous() -> set[str]:
    """Modules that define coroutines or load an event loop, and those that load such modules when they are loaded."""
    coloured = {name for name, module in modules().items() if _has_colour(module)}
    while True:
        more = {
            name
            for name, module in modules().items()
            if name not in coloured and any(item.at_start and item.module in coloured for item in module.imports)
        }
        if not more:
            return coloured
        coloured |= more


def _has_colour(module: Module) -> bool:
    loads = any(item.at_start and item.module.split(".")[0] in _LOOPS for item in module.imports)
    return loads or any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(module.tree))


def test_only_asynchronous_packages_hold_asynchronous_modules() -> None:
    assert sorted(name for name in _asynchronous() if modules()[name].package not in ASYNC) == []


def test_only_bridges_call_asynchronous_modules() -> None:
    coloured = _asynchronous()
    wrong = [
        f"{module.place(item.line)}: {module.name} imports {item.module}"
        for module in modules().values()
        for item in module.imports
        if module.package not in ASYNC | BRIDGES
        and not item.typing_only
        and (item.module in coloured or item.module.split(".")[0] in _LOOPS)
    ]
    assert wrong == []


def test_asynchronous_packages_are_asynchronous() -> None:
    coloured = {modules()[name].package for name in _asynchronous()}
    assert coloured == ASYNC, "a package that needs no colour should not have one"
