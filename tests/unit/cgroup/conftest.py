"""Plain files keep what a shorter write leaves over, where the kernel's take each write as a whole."""

from __future__ import annotations

import os

import pytest

from utsuwa.cgroup import directory


@pytest.fixture(autouse=True)
def whole_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncate at every write; cgroupfs ignores it."""
    monkeypatch.setattr(directory, "_WRITE", directory._WRITE | os.O_TRUNC)
