"""Whether it is in a user namespace a process asks when it matters: an ordinary user enters one after its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import modules


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is loaded."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from at_import(child)


def test_nobody_asks_at_import() -> None:
    wrong = [
        module.place(node.lineno)
        for module in modules().values()
        for node in at_import(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "in_user_namespace"
    ]
    assert wrong == []
