"""The cache gives what the compiler gives, and nothing that others put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.errors import PermissionDenied
from utsuwa.seccomp.cache import compiled, key
from utsuwa.seccomp.compile import compile
from utsuwa.seccomp.profile import default_profile
from utsuwa.seccomp.program import Program

NATIVE = "SCMP_ARCH_X86_64"
PROFILE = default_profile((), NATIVE)


def entries(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_an_entry_is_written_once_and_read_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "cache"
    expected = compile(PROFILE, NATIVE)
    assert compiled(PROFILE, str(directory), NATIVE) == expected
    assert entries(directory) == [key(PROFILE, NATIVE)]
    assert directory.stat().st_mode & 0o777 == 0o700

    def refuse(*_: object) -> Program:
        raise AssertionError("compiled again")

    monkeypatch.setattr("utsuwa.seccomp.compile.compile", refuse)
    assert compiled(PROFILE, str(directory), NATIVE) == expected


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 4096, None])
def test_damaged_entries_are_replaced(tmp_path: Path, damage: bytes | None) -> None:
    expected = compiled(PROFILE, str(tmp_path), NATIVE)
    entry = tmp_path / key(PROFILE, NATIVE)
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-8] if damage is None else damage)
    assert compiled(PROFILE, str(tmp_path), NATIVE) == expected
    assert entry.read_bytes() == whole


def test_an_entry_moved_to_another_name_is_not_taken(tmp_path: Path) -> None:
    lax = PROFILE.replace(defaultAction="SCMP_ACT_ALLOW", defaultErrnoRet=None)
    compiled(lax, str(tmp_path), NATIVE)
    os.rename(tmp_path / key(lax, NATIVE), tmp_path / key(PROFILE, NATIVE))
    assert compiled(PROFILE, str(tmp_path), NATIVE) == compile(PROFILE, NATIVE)


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    compiled(PROFILE, str(tmp_path), NATIVE)
    entry = tmp_path / key(PROFILE, NATIVE)
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to("elsewhere")
    assert compiled(PROFILE, str(tmp_path), NATIVE) == compile(PROFILE, NATIVE)
    assert not entry.is_symlink()


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(PermissionDenied, match="shared: others could write"):
        compiled(PROFILE, str(directory), NATIVE)


def test_without_a_place_for_it_the_filter_is_compiled(tmp_path: Path) -> None:
    assert compiled(PROFILE, str(tmp_path / "no" / "parent"), NATIVE) == compile(PROFILE, NATIVE)
    assert entries(tmp_path) == []


def test_the_number_of_entries_is_bounded(tmp_path: Path) -> None:
    for errno in range(70):
        compiled(PROFILE.replace(defaultErrnoRet=errno, syscalls=()), str(tmp_path), NATIVE)
    assert len(entries(tmp_path)) <= 64


def test_the_key_tells_apart_what_the_compiler_tells_apart() -> None:
    variants = [
        PROFILE,
        PROFILE.replace(defaultErrnoRet=2),
        PROFILE.replace(architectures=()),
        PROFILE.replace(flags=()),
        PROFILE.replace(syscalls=(PROFILE.syscalls or ())[:-1]),
    ]
    keys = {key(variant, NATIVE) for variant in variants} | {key(PROFILE, "SCMP_ARCH_AARCH64")}
    assert len(keys) == len(variants) + 1
    assert key(default_profile(frozenset(), NATIVE), NATIVE) == key(PROFILE, NATIVE)
