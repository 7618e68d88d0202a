"""Every public name says what it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import modules

_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, _Documented]]:
    for node in body:
        if isinstance(node, _Documented) and not node.name.startswith("_"):
            yield inside + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{node.name}.")


def _overload(node: _Documented) -> bool:
    """A setter, a deleter or a typing overload: documented where the name is first defined."""
    names = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(names & {"setter", "deleter", "overload"})


def test_modules_have_docstrings() -> None:
    assert [name for name, module in modules().items() if not ast.get_docstring(module.tree)] == []


def test_public_classes_and_functions_have_docstrings() -> None:
    missing = [
        f"{module.place(node.lineno)}: {name}"
        for module in modules().values()
        for name, node in _public(module.tree.body)
        if not _overload(node) and not ast.get_docstring(node)
    ]
    assert missing == []
