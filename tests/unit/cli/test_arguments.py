"""Command lines as Go programs read them."""

from __future__ import annotations

import pytest

from utsuwa.cli.arguments import parse, quoted, table
from utsuwa.errors import InvalidArgument

OPTIONS = table("bundle|b=", "preserve-fds#", "env|e*", "detach|d", "tty|t", "all|a")


@pytest.mark.parametrize(
    "words",
    [["--bundle", "x"], ["--bundle=x"], ["-b", "x"], ["-b=x"], ["-bundle", "x"], ["-bundle=x"]],
)
def test_spellings_of_a_value(words: list[str]) -> None:
    assert parse(OPTIONS, words, True) == ({"bundle": "x"}, [])


def test_what_is_not_given_is_absent() -> None:
    assert parse(OPTIONS, ["id"], True) == ({}, ["id"])


def test_options_behind_positionals() -> None:
    assert parse(OPTIONS, ["id", "-d", "-b", "x"], True) == ({"detach": True, "bundle": "x"}, ["id"])
    assert parse(OPTIONS, ["-d", "id", "-b", "x"], False) == ({"detach": True}, ["id", "-b", "x"])


def test_two_dashes_end_the_options() -> None:
    assert parse(OPTIONS, ["-d", "--", "-b"], True) == ({"detach": True}, ["-b"])


def test_lists_are_never_split_at_commas() -> None:
    assert parse(OPTIONS, ["-e", "A=1,2", "--env", "B=3"], True)[0] == {"env": ["A=1,2", "B=3"]}


def test_values_may_begin_with_a_dash_and_be_empty() -> None:
    assert parse(OPTIONS, ["--preserve-fds", "-1", "--bundle="], True)[0] == {"preserve-fds": -1, "bundle": ""}


def test_switches_take_booleans() -> None:
    assert parse(OPTIONS, ["--detach=false", "-t=1"], True)[0] == {"detach": False, "tty": True}


def test_letters_of_switches_cluster() -> None:
    assert parse(OPTIONS, ["-td"], True)[0] == {"tty": True, "detach": True}
    with pytest.raises(InvalidArgument, match="flag provided but not defined: -tb"):
        parse(OPTIONS, ["-tb", "x"], True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nonsense"], "flag provided but not defined: -nonsense"),
        (["--bundle"], "flag needs an argument: -bundle"),
        (["--preserve-fds", "many"], 'invalid value "many" for flag -preserve-fds'),
        (["--detach=perhaps"], 'invalid boolean value "perhaps" for -detach'),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse(OPTIONS, words, True)


def test_a_single_dash_is_a_positional() -> None:
    assert parse(OPTIONS, ["-"], True) == ({}, ["-"])


def test_quoted() -> None:
    assert quoted('a "b" \\') == r'"a \"b\" \\"'
