"""Records and locks of monitors."""

from __future__ import annotations

import os
from pathlib import Path

from utsuwa.monitor.records import EXIT_FILE, Exit, is_locked, read, take_lock, write


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = Exit(number=3, exitCode=137, signal=9, oomKilled=True, finishedAt="2024-01-01T00:00:00Z")
    assert read(Exit, str(tmp_path), EXIT_FILE) is None
    write(str(tmp_path), EXIT_FILE, record, durable=True)
    assert read(Exit, str(tmp_path), EXIT_FILE) == record
    assert os.listdir(tmp_path) == [EXIT_FILE]


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert not is_locked(directory)
    lock = take_lock(directory)
    assert lock is not None
    assert is_locked(directory)
    assert take_lock(directory) is None
    copy = os.dup(lock)  # as a forked creator has it
    os.close(lock)
    assert is_locked(directory)
    os.close(copy)
    assert not is_locked(directory)
