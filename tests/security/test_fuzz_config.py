"""What CI affords of tests/security/fuzz.py: the same seeds every time."""

from __future__ import annotations

import pytest

from tests.security.fuzz import campaign, one
from utsuwa.errors import InvalidArgument


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("config", 2500),
        ("record", 2500),
        ("commandline", 4000),
        ("shapes", 1500),
        ("documents", 4000),
        ("archive", 3000),
        ("names", 4000),
    ],
)
def test_whatever_comes_in_an_error_of_ours_comes_out(target: str, runs: int) -> None:
    """Proven by the counts (some are accepted, most are not) and by test_a_traceback_is_noticed."""
    done, accepted = campaign(target, runs, seconds=60)
    assert done == runs, "too slow"
    assert target in ("names", "commandline") or 0 < accepted < runs


def test_a_traceback_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.security import fuzz

    def broken(_dice: object) -> None:
        raise KeyError("x")

    def refuses(_dice: object) -> None:
        raise InvalidArgument("no")

    monkeypatch.setitem(fuzz.TARGETS, "config", broken)
    with pytest.raises(AssertionError, match="seed 3: KeyError"):
        one("config", 3)
    monkeypatch.setitem(fuzz.TARGETS, "config", refuses)
    assert not one("config", 3)
