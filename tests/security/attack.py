"""What attacks are made of: a decoy that stands for the host, and old runtimes that are known to fall for it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Runtime

# Debian 12 still ships these; what a fixed package does would prove nothing about a test.
VULNERABLE = {"runc": "1.1.5", "crun": "1.8.1"}

_WRAPPER = """#!/bin/sh
# Whatever a vulnerable runtime mounts in the wrong place goes away with this mount namespace.
exec unshare -m sh -c 'if [ -d /sys/fs/cgroup/unified ] && [ {name} = crun ]
then mount -t tmpfs none /sys/fs/cgroup/unified; fi; exec {path} "$@"' - "$@"
"""


class Decoy:
    """A directory outside every root file system, for attacks to hit instead of the host's own files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name in ("ptmx", "null", "console", "file"):
            (path / name).write_text("decoy")
        (path / "inner").mkdir()
        os.chown(path / "null", 4711, 4711)
        self.remember()

    def remember(self) -> None:
        """From here on, changes count."""
        self._before = self._state()

    def _state(self) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for where, directories, files in os.walk(self.path):
            for name in sorted((*directories, *files, ".")):
                path = os.path.join(where, name)
                state = os.lstat(path)
                content = b""
                if os.path.isfile(path) and not os.path.islink(path):
                    content = Path(path).read_bytes()
                found.append((path, state.st_mode, state.st_uid, state.st_gid, hashlib.sha256(content).hexdigest()))
        return sorted(found, key=str)

    @property
    def touched(self) -> bool:
        """Something was made, removed or changed in here."""
        return self._state() != self._before


def is_vulnerable(name: str) -> bool:
    """This machine has the old version of that runtime."""
    path = _find(name)
    if not path:
        return False
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return VULNERABLE[name] in said


class OldRuntime(Runtime):
    """A vulnerable runtime, in a mount namespace that takes the damage."""

    def __init__(self, name: str, directory: Path, identifier: str) -> None:
        super().__init__(name, directory, identifier)
        script = directory / f"old-{name}"
        script.write_text(_WRAPPER.format(name=name, path=_find(name)))
        script.chmod(0o755)
        self.argv = [str(script), "--root", str(self.root)]


def attacks(*victims: str) -> pytest.MarkDecorator:
    """Run a test with urun (``safe``), and once more with every old runtime that the attack is known to succeed on."""
    runs = [pytest.param("urun", True, id="urun")]
    for name in victims:
        reason = f"no {name} {VULNERABLE[name]} here, which is known to be vulnerable"
        skip = pytest.mark.skipif(not is_vulnerable(name), reason=reason)
        runs.append(pytest.param(name, False, marks=skip, id=f"old-{name}"))
    return pytest.mark.parametrize(("oci", "safe"), runs, indirect=["oci"])


def _find(name: str) -> str:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or ""
