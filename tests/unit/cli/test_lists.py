"""What verbs that list things share: numbers of words, times, names, rows as JSON."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from utsuwa.cli import network, times, volume
from utsuwa.cli.house import MissingWords, Verb
from utsuwa.cli.listing import formatted
from utsuwa.cli.template import BadTemplate
from utsuwa.engine.image_filters import matches
from utsuwa.engine.names import name_matches
from utsuwa.errors import InvalidArgument


@pytest.mark.parametrize(
    ("usage", "bounds", "count", "said"),
    [
        ("history [OPTIONS] IMAGE", (1, 1), 2, "'utsuwa history' requires 1 argument"),
        ("cp A B", (2, 2), 1, "'utsuwa cp' requires 2 arguments"),
        ("volume ls [OPTIONS]", (0, 0), 1, "'utsuwa volume ls' accepts no arguments"),
        ("images [OPTIONS] [NAME]", (0, 1), 2, "'utsuwa images' requires at most 1 argument"),
        ("rm [OPTIONS] CONTAINER", (1, None), 0, "'utsuwa rm' requires at least 1 argument"),
        ("port CONTAINER [PORT]", (1, 2), 0, "'utsuwa port' requires at least 1 and at most 2 arguments"),
    ],
)
def test_how_many_words(usage: str, bounds: tuple[int, int | None], count: int, said: str) -> None:
    with pytest.raises(MissingWords) as caught:
        Verb(usage, "", (), *bounds).read(["word"] * count)
    assert str(caught.value) == said


def test_a_verb_of_a_group_is_called_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingWords, match="'utsuwa network remove' requires at least 1 argument"):
        network.run(["remove"])
    assert volume.run([]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "  ls  " in said.err and "  list  " not in said.err and "  remove  " not in said.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1704164645.5", 1704164645.5),
        ("2024-01-02T03:04:05.5Z", 1704164645.5),
        ("2024-01-02T04:04:05+01:00", 1704164645.0),
        ("2024-01-02T03:04:05.000000001Z", 1704164645.0),
        ("2024-01-02", datetime(2024, 1, 2).timestamp()),
        ("2024-01-02T03", datetime(2024, 1, 2, 3).timestamp()),
        ("2024-01-02T03:04", datetime(2024, 1, 2, 3, 4).timestamp()),
    ],
)
def test_a_moment(text: str, expected: float) -> None:
    assert times.moment(text) == pytest.approx(expected, abs=1e-6)


def test_a_moment_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 10000.0)
    assert [times.moment(text) for text in ("1h1m0.5s", "-10m", "250ms", "")] == [6339.5, 10600.0, 9999.75, None]


@pytest.mark.parametrize("text", ["zz", "10x", "2024-13-01", "1h2", "inf", "-", "h"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidArgument, match="failed to parse value as time or duration"):
        times.moment(text)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("b?x", True), ("box:*", True), ("*", True), ("*/*", False), ("docker.io/library/box", True), ("b[^a]x", True)],
)
def test_references(pattern: str, fits: bool) -> None:
    assert matches("docker.io/library/box:1", pattern) is fits


def test_a_reference_that_is_none() -> None:
    with pytest.raises(InvalidArgument, match="syntax error in pattern"):
        matches("docker.io/library/box:1", "b[o")


def test_names() -> None:
    assert [name_matches(each, "my.vol") for each in ("y.v", "^my", "vol$", "^vol", "[", "m.*l")] == [
        *(True, True, True, False, False, True)
    ]


def test_rows_as_json() -> None:
    row = {"Name": "a", "Command": "<b> & c", "Method": lambda key: key}
    assert formatted("json", {}, [row]) == '{"Command":"\\u003cb\\u003e \\u0026 c","Name":"a"}'
    assert formatted("{{json .Command}}", {}, [row]) == '"<b> & c"'
    with pytest.raises(BadTemplate) as caught:
        formatted("{{.", {}, [row])
    assert caught.value.exit_code == 1  # 64 only for inspect
