"""Where an ordinary user's engine keeps things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from utsuwa.engine import user_namespace
from utsuwa.errors import FailedPrecondition, PermissionDenied

_NOBODY = 3_999_999_999
_PLACE = Path(f"/tmp/utsuwa-{_NOBODY}")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who has no account, and nothing in the environment."""
    monkeypatch.setattr(os, "getuid", lambda: _NOBODY)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "UTSUWA_ROOT", "UTSUWA_RUN"):
        monkeypatch.delenv(name, raising=False)
    yield
    if _PLACE.is_symlink():
        _PLACE.unlink()
    elif _PLACE.exists():
        _PLACE.rmdir()


def test_by_default_below_home_and_in_a_directory_of_the_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_namespace.directories() == ("/home/somebody/.local/share/utsuwa", f"{_PLACE}/utsuwa")
    assert _PLACE.stat().st_mode & 0o777 == 0o700
    with pytest.raises(PermissionDenied, match="is not this user's alone: set XDG_RUNTIME_DIR"):
        user_namespace.directories()  # it is ours, and we are not who we say


def test_a_link_in_its_place_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    _PLACE.symlink_to("/")
    with pytest.raises(PermissionDenied, match="set XDG_RUNTIME_DIR"):
        user_namespace.directories()


def test_who_has_no_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    with pytest.raises(FailedPrecondition, match="no home directory: set HOME"):
        user_namespace.directories()
    monkeypatch.setenv("UTSUWA_ROOT", "/somewhere")
    assert user_namespace.directories()[1] == "/run/user/1/utsuwa"
