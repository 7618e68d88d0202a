"""Docker's command lines."""

from __future__ import annotations

import pytest

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, BadUsage, Option, describe, parse
from utsuwa.cli.main import VERBS, main

TABLE = (
    Option("detach", "d", SWITCH, "Run in background"),
    Option("interactive", "i", SWITCH, "Keep STDIN open"),
    Option("tty", "t", SWITCH, "Allocate a pseudo-TTY"),
    Option("env", "e", LIST, "Set environment variables"),
    Option("name", "", WORD, "A name", "nobody"),
    Option("time", "", NUMBER, "Seconds"),
)


def test_options_end_at_the_image() -> None:
    arguments = parse(
        TABLE, ["-it", "-eA=1", "-e", "B=2", "--name=x", "image", "-d", "--name", "y"], interspersed=False
    )
    assert arguments.words == ["image", "-d", "--name", "y"]
    assert (arguments.on("interactive"), arguments.on("tty"), arguments.on("detach")) == (True, True, False)
    assert arguments.list("env") == ["A=1", "B=2"]
    assert arguments.text("name") == "x"


def test_a_cluster_may_end_in_a_value() -> None:
    arguments = parse(TABLE, ["-ite", "A=1", "--detach=false", "--", "-x"])
    assert arguments.list("env") == ["A=1"]
    assert arguments.words == ["-x"]
    assert arguments.text("name") == "nobody"
    assert arguments.given == {"interactive", "tty", "env", "detach"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-ix"], "unknown shorthand flag: 'x' in -ix"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["--time", "soon"], 'invalid argument "soon" for "--time" flag: not an integer'),
        (["--tty=maybe"], 'invalid argument "maybe" for "--tty" flag'),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        parse(TABLE, words)
    assert message in str(caught.value)


def test_help_of_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "-d, --detach" in describe("run", "Run", TABLE)
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage:  utsuwa {verb}")


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus"]) == 1
    assert capsys.readouterr().err.startswith("utsuwa: unknown command: utsuwa bogus\n")
    assert main(["rm"]) == 1
    assert "requires at least 1 argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2000-02-29T12:00:00.5Z", 951825600.5),
        ("2024-12-31T23:59:59Z", 1735689599.0),
        ("", 0.0),
    ],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert times.parse(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (150, "2 minutes"),
        (3700, "About an hour"),
        (86400, "24 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 100, "3 months"),
        (86400 * 1000, "2 years"),
    ],
)
def test_durations_in_dockers_words(seconds: float, text: str) -> None:
    assert times.duration(seconds) == text
