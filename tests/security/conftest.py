"""Fixtures of the attacks: a bundle, a decoy, and the runtime under attack, with nothing left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, cgroups_of, identifiers, mounts_below
from tests.needs import enforce
from tests.security.attack import Decoy, OldRuntime

_IDENTIFIERS = identifiers()


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static busybox of our own: the host's must never be the one that a container could write to."""
    enforce("busybox")
    return Path(shutil.copy(shutil.which("busybox") or "", tmp_path_factory.mktemp("busybox") / "busybox"))


@pytest.fixture
def bundle(tmp_path: Path, busybox: Path) -> Bundle:
    return Bundle(tmp_path / "bundle", busybox)


@pytest.fixture
def decoy(tmp_path: Path) -> Decoy:
    return Decoy(tmp_path / "decoy")


@pytest.fixture
def oci(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    """urun; with `attacks(…)` also the old runtimes that prove that the attack works."""
    enforce("root")
    name = getattr(request, "param", "urun")
    identifier = next(_IDENTIFIERS)
    null = os.stat("/dev/null")
    runtime = Runtime(name, tmp_path, identifier) if name == "urun" else OldRuntime(name, tmp_path, identifier)
    yield runtime
    runtime.clean()
    assert cgroups_of(runtime.id) == []
    assert mounts_below(tmp_path) == []
    now = os.stat("/dev/null")
    assert (now.st_uid, now.st_gid, now.st_mode, now.st_rdev) == (null.st_uid, null.st_gid, null.st_mode, null.st_rdev)
