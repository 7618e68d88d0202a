"""Ids and names: what is allowed, what is made, and what a reference means."""

from __future__ import annotations

import pytest

from utsuwa import identifiers
from utsuwa.errors import InvalidArgument, NotFound


@pytest.mark.parametrize("text", ["a", "A_b+c.d-e", "...", "-", "x" * 1024])
def test_container_ids(text: str) -> None:
    assert identifiers.check_container_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "é", "a\n", "a\0", "x" * 1025])
def test_refused_container_ids(text: str) -> None:
    with pytest.raises(InvalidArgument, match="container id"):
        identifiers.check_container_id(text)


def test_engine_ids() -> None:
    made = {identifiers.new_engine_id() for _ in range(100)}
    assert len(made) == 100
    assert all(identifiers.is_engine_id(each) and not each[:12].isdigit() for each in made)
    assert identifiers.short("0123456789abcdef") == "0123456789ab"
    assert not identifiers.is_engine_id("A" * 64)
    assert not identifiers.is_engine_id("a" * 63)


def test_an_id_that_looks_like_a_number_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [b"\x11" * 32, b"\xaa" * 32]
    monkeypatch.setattr("posix.urandom", lambda size: draws.pop(0))
    assert identifiers.new_engine_id() == "aa" * 32


@pytest.mark.parametrize(("text", "name"), [("ab", "ab"), ("/web-1", "web-1"), ("9_.-", "9_.-")])
def test_names(text: str, name: str) -> None:
    assert identifiers.check_name(text) == name


@pytest.mark.parametrize("text", ["", "a", "/", "-ab", "_a", "a b", "a/b", "éa", "//ab"])
def test_refused_names(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^volume name .* is invalid, use two or more of"):
        identifiers.check_name(text, "volume")


def test_find_by_id_name_and_prefix() -> None:
    ids = ["abc1", "abd2", "ff"]
    names = {"web": "abc1", "ff": "abd2", "ab": "ff"}
    assert identifiers.find("abc1", ids, names) == "abc1"
    assert identifiers.find("web", ids, names) == "abc1"
    assert identifiers.find("/web", ids, names) == "abc1"
    assert identifiers.find("ff", ids, names) == "ff"  # a full id comes before a name
    assert identifiers.find("ab", ids, names) == "ff"  # and a name before a prefix
    assert identifiers.find("abd", iter(ids)) == "abd2"
    with pytest.raises(InvalidArgument, match=r"^container 'ab' is ambiguous, 2 ids begin with it; give more digits$"):
        identifiers.find("ab", ids)
    for missing in ("x", ""):
        with pytest.raises(NotFound, match=f"^image '{missing}' does not exist$"):
            identifiers.find(missing, ids, noun="image")


def test_random_names_are_names_and_never_run_out() -> None:
    taken: set[str] = set()
    for _ in range(300):
        name = identifiers.random_name(taken.__contains__)
        assert identifiers.check_name(name) == name
        assert name not in taken
        taken.add(name)
    adjectives = {name.partition("_")[0] for name in taken}
    assert len(adjectives) > 30
    assert identifiers.random_name(lambda name: not name[-1].isdigit())[-1].isdigit()
