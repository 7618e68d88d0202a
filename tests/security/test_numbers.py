"""Numbers that int() or range() take badly: more than 4300 digits, digits of other scripts, ranges that fill memory."""

from __future__ import annotations

import pytest

from utsuwa.cli.arguments import _number
from utsuwa.cli.flags import BadUsage
from utsuwa.cli.logs import _tail
from utsuwa.errors import Error, printable
from utsuwa.runtime.process import signal_number
from utsuwa.spec import platform

STRANGE = ["9" * 5000, "\u0661", "\u00b2", "-", "", "1" * 30]


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize(
    "parse",
    [
        signal_number,
        lambda text: signal_number(f"RTMIN+{text}"),
        lambda text: _number("n", text),
    ],
    ids=["signal", "real-time signal", "flag"],
)  # fmt: skip
def test_strange_numbers_are_refused_in_our_own_words(parse, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Error):
        parse(text)


@pytest.mark.parametrize("text", [text for text in STRANGE if not text.startswith("-")])
def test_strange_tails_are_bad_usage(text: str) -> None:
    with pytest.raises(BadUsage):
        _tail(text)


@pytest.mark.parametrize("variant", ["v9999999999", "v" + "9" * 5000, "v\u00b2", "v\u0661"])
@pytest.mark.parametrize("architecture", ["amd64", "arm", "arm64"])
def test_platforms_do_not_fill_memory(architecture: str, variant: str) -> None:
    found = platform.runnable(platform.Platform(os="linux", architecture=architecture, variant=variant))
    assert len(found) < 20


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b31m", "\u202e", "a\0b", "\r", "\x7f", "\ud800"])
def test_messages_leave_the_terminal_alone(text: str) -> None:
    """What an image or a registry calls itself comes into messages. Proven: ordinary text stays as it is."""
    assert printable(text).isprintable()
    assert printable("é: a\n\tb") == "é: a\n\tb"
