"""Quotes, escapes and variables of a Dockerfile."""

from __future__ import annotations

import pytest

from utsuwa.build.words import LIMIT, Words, WrongWords, matches

VARIABLES = {"x": "foo.tar.gz", "empty": "", "two": "a b"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$x", "foo.tar.gz"),
        ("${x}s", "foo.tar.gzs"),
        ("$nosuch", ""),
        ("${nosuch:-w}", "w"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${nosuch-w}", "w"),
        ("${x:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${nosuch:-${x}}", "foo.tar.gz"),
        ("${x#*.}", "tar.gz"),
        ("${x##*.}", "gz"),
        ("${x%.*}", "foo.tar"),
        ("${x%%.*}", "foo"),
        ("${x/o/0}", "f0o.tar.gz"),
        ("${x//o/0}", "f00.tar.gz"),
        ("${x/tar/}", "foo..gz"),
        ("'$x'", "$x"),
        ('"$x"', "foo.tar.gz"),
        ('"\\$x \\" \\n"', '$x " \\n'),
        ("\\$x a\\ b", "$x a b"),
        ("$", "$"),
        ("a'b'\"c\"", "abc"),
    ],
)
def test_a_word(text: str, value: str) -> None:
    assert Words().expand(text, VARIABLES) == value


def test_words() -> None:
    assert Words().split("a $two \"q $two\" '' z", VARIABLES) == ["a", "a", "b", "q a b", "", "z"]
    assert Words(raw=True).split("A='x y' B=\"$two\" c\\ d") == ["A='x y'", 'B="$two"', "c\\ d"]
    assert Words("`").expand("a` b `$x \\", VARIABLES) == "a b $x \\"


def test_in_a_here_document_quotes_are_letters() -> None:
    assert Words(quotes=False).expand('it\'s "$x" \\$x \\n', VARIABLES) == 'it\'s "foo.tar.gz" $x \\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("'a", "matching single-quote"),
        ('"a', "matching double-quote"),
        ("${x", "missing '}'"),
        ("${}", "bad substitution"),
        ("${x!y}", "unsupported modifier (!)"),
        ("${nosuch:?say}", "nosuch: say"),
        ("${empty:?}", "empty: is not allowed to be empty"),
    ],
)
def test_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(WrongWords) as failure:
        Words().expand(text, VARIABLES)
    assert problem in str(failure.value)


def test_stars_do_not_take_for_ever() -> None:
    assert not matches("*a" * 40 + "b", "a" * 2000)
    assert matches("a?c*", "abcdef")
    assert matches("\\*", "*")
    assert not matches("\\*", "x")


@pytest.mark.parametrize("text", ["$long$long$long", "${a//?/$long}", "${nosuch:-" * 5000 + "}" * 5000])
def test_words_are_bounded(text: str) -> None:
    """Proven: each took all memory, or ended in a RecursionError."""
    long = "a" * (LIMIT // 2)
    with pytest.raises(WrongWords, match=r"limit of|within one another"):
        Words().expand(text, {"long": long, "a": "aaa"})
    with pytest.raises(WrongWords, match="limit of"):
        Words().expand("$a", {"a": long, "b": long, "c": "c"})
