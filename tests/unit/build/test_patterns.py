"""Patterns of paths: .dockerignore and the globs of COPY."""

from __future__ import annotations

import pytest

from utsuwa.build.patterns import Exclusions, match_name, read_ignore_file


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.go", "a.go", True),
        ("*.go", "a.go.x", False),
        ("a?c", "abc", True),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[]a]", "]", True),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("*a*b*", "xxaxxb", True),
        ("", "", True),
    ],
)
def test_names(pattern: str, name: str, expected: bool) -> None:
    assert match_name(pattern, name) == expected


def test_exclusions() -> None:
    rules = Exclusions(read_ignore_file(b"# no\n\n**/*.pyc\ndocs\n!docs/keep.md\n/a/b/\n*/temp*\n"))
    left_out = ["x/y.pyc", "y.pyc", "docs", "docs/x/y", "a/b", "a/b/c", "x/temporary"]
    assert [path for path in left_out if not rules.excludes(path)] == []
    kept = ["docs/keep.md", "x/a/b", "x/y/temp", "y.py", "a"]
    assert [path for path in kept if rules.excludes(path)] == []
    assert rules.may_include_below("docs")
    assert not rules.may_include_below("a/b")


def test_everything_but() -> None:
    rules = Exclusions(["*", "!src", "src/*.o", "!**/keep"])
    assert rules.excludes("x")
    assert not rules.excludes("src/a.c")
    assert rules.excludes("src/a.o")
    assert not rules.excludes("deep/er/keep")
    assert rules.may_include_below("deep")
