"""A directory that plays the resctrl file system, which needs a processor with RDT."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.linux import resctrl


class Kernel:
    """What the kernel does there: a new class has files, and goes with all of them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._mkdir, self._rmdir = os.mkdir, os.rmdir
        (root / "info").mkdir(parents=True)
        (root / "info/last_cmd_status").write_text("ok\n")
        self._fill(root)
        monkeypatch.setattr(resctrl, "mount_point", lambda: str(root))
        monkeypatch.setattr(os, "mkdir", self._make)
        monkeypatch.setattr(os, "rmdir", self._remove)

    def schemata(self, name: str) -> str:
        """How a class shares out."""
        return (self.root / name / "schemata").read_text()

    def _fill(self, path: Path) -> None:
        (path / "tasks").touch()
        if path.parent.name != "mon_groups":
            (path / "schemata").write_text("    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n")
            self._mkdir(path / "mon_groups", 0o755)

    def _make(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._mkdir(path, mode, dir_fd=dir_fd)
        if dir_fd is None and Path(path).is_relative_to(self.root):
            self._fill(Path(path))

    def _remove(self, path: str, **options: int) -> None:
        if not options and Path(path).is_relative_to(self.root):
            for directory, _, files in os.walk(path, topdown=False):
                for name in files:
                    os.unlink(f"{directory}/{name}")
                self._rmdir(directory)
        else:
            self._rmdir(path, **options)
