"""Nothing grows too long to be read: functions up to 60 lines, files up to 500; and nothing is called utils."""

from __future__ import annotations

import ast

from tests.architecture.house import FILE_LINES, FORBIDDEN_NAMES, FUNCTION_LINES
from tests.architecture.sources import ROOT, SRC, modules


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_functions_are_short() -> None:
    long = [
        f"{module.place(node.lineno)}: {node.name} has {_body_lines(node)} lines"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _body_lines(node) > FUNCTION_LINES
    ]
    assert long == []


def test_files_are_short() -> None:
    files = [path for suffix in ("*.py", "*.c", "*.h", "*.def") for path in (SRC / "utsuwa").rglob(suffix)]
    files += [path for folder in ("tests", "bench", "tools") for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert any(name.endswith(".c") for name in lengths)
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_names_say_what_is_inside() -> None:
    paths = [path for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.[pch]*") if path.is_file()]
    assert [str(path.relative_to(ROOT)) for path in paths if path.stem in FORBIDDEN_NAMES] == []
    folders = [path for path in (SRC / "utsuwa").rglob("*") if path.is_dir() and path.name in FORBIDDEN_NAMES]
    assert folders == []
