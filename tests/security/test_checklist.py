"""The list of what has gone wrong in runtimes: each entry has a test here that names it, or a reason to have none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent

KNOWN = frozenset(
    (
        *("2014-8989", "2016-3697", "2016-8867", "2016-9962"),
        *("2019-5736", "2019-16884", "2019-18837", "2019-19921"),
        *("2021-30465", "2021-43784", "2022-24769", "2022-27650", "2022-29162"),
        *("2023-25809", "2023-27561", "2023-28642", "2024-3154", "2024-21626", "2024-45310"),
        *("2025-24965", "2025-31133", "2025-52565", "2025-52881"),
        *("2021-41091",),
        *("2026-30892", "2026-41579", "2026-88264", "2026-88265"),
    )
)
"""CVE numbers of runc, crun, youki and CRI-O that are about what a runtime does; and of moby, about an engine."""

ELSEWHERE = {"2025-24965": "crun's krun handler writes into the image; there are no handlers here"}


def test_each_has_a_test_that_says_how_it_was_proven() -> None:
    named: set[str] = set()
    for path in HERE.glob("test_*.py"):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                text = ast.get_docstring(item) or ""
                found = set(re.findall(r"CVE-(\d{4}-\d+)", text))
                if found and not re.search(r"Proven|switched off|would find|is the one that was asked for", text):
                    raise AssertionError(f"{path.name}: {item.name} does not say how it was proven able to fail")
                named |= found
    assert sorted(KNOWN - named - set(ELSEWHERE)) == []
    assert sorted(named - KNOWN) == [], "put these on the list"
