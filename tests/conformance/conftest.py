"""Fixtures of the conformance tests: a root file system, and our runtime as other engines are told of it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import oci
from tests.contract.oci import LAUNCHER, eventually, make_rootfs
from tests.needs import enforce


@pytest.fixture(scope="session")
def urun(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the installed launcher, or (in the virtual machine) of a script: engines take a path."""
    if LAUNCHER.exists():
        return str(LAUNCHER)
    script = tmp_path_factory.mktemp("bin") / "urun"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(oci.urun())} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A root file system of busybox."""
    enforce("busybox")
    busybox = Path(shutil.copy(shutil.which("busybox") or "", tmp_path / "busybox"))
    return make_rootfs(tmp_path / "rootfs", busybox)


@pytest.fixture
def group() -> Iterator[str]:
    """A name for the cgroups of one test, which are removed with it; other engines leave empty parents behind."""
    name = f"utsuwa-test-engine-{os.getpid()}"
    yield name
    eventually(lambda: removed(name), f"the removal of the cgroups {name}")


def removed(name: str) -> bool:
    """Try to remove all cgroups of that name: an engine's helper may still be about to end in one."""
    found = subprocess.run(
        ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{name}*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for directory in found.stdout.split():
        try:
            os.rmdir(directory)
        except OSError:
            return False
    return True
