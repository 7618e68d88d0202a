"""Declared needs of a test: skipped with the reason where missing, failing where UTSUWA_TEST_REQUIRE names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from ctypes.util import find_library
from functools import cache

import pytest

needs = pytest.mark.needs
"""``@needs("root", "cgroup1", "runc")``: facilities of the table below, or else commands on PATH."""

cgroups = pytest.mark.cgroups
"""How it is done depends on the kind of cgroup hierarchy: the virtual machine runs the test on cgroup v2, too."""


def _cgroup2() -> bool:
    """The unified hierarchy is the only one, and it has controllers."""
    try:
        with open("/sys/fs/cgroup/cgroup.controllers") as controllers:
            return bool(controllers.read().split())
    except OSError:
        return False


def _first_line(path: str) -> str:
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return ""


def _overlay() -> bool:
    with open("/proc/filesystems") as filesystems:
        return "\toverlay\n" in filesystems.read()


def _criu(*feature: str) -> bool:
    """CRIU is installed, and does its work on this kernel: that of Debian 12 does not on much newer ones."""
    path = shutil.which("criu", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None or os.geteuid() != 0:
        return False
    return subprocess.run([path, "check", *feature], capture_output=True, check=False).returncode == 0


def _gvisor() -> bool:
    """gVisor runs here: it needs ptrace, which some sandboxes keep to themselves."""
    if os.geteuid() != 0 or shutil.which("runsc") is None:
        return False
    command = ["runsc", "--platform=ptrace", "--ignore-cgroups", "--network=none", "do", "true"]
    try:  # a pipe as its standard input: it gives that to nobody, and it might be the host's /dev/null
        return subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


_FACILITIES: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "cgroup1": lambda: os.path.isdir("/sys/fs/cgroup/memory"),
    "cgroup2": _cgroup2,
    "overlay": _overlay,
    "criu": cache(_criu),
    "gvisor": cache(_gvisor),
    "memory tracking": cache(lambda: _criu("--feature", "mem_dirty_track")),
    "systemd": lambda: os.path.isdir("/run/systemd/system"),
    "apparmor": lambda: _first_line("/sys/module/apparmor/parameters/enabled") == "Y",
    "libseccomp": lambda: find_library("seccomp") is not None,
}


def missing(*names: str) -> list[str]:
    """Those of ``names`` that this machine lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        name for name in names if not (_FACILITIES[name]() if name in _FACILITIES else shutil.which(name, path=path))
    ]


def enforce(*names: str) -> None:
    """Skip the running test for what is missing, or fail it when UTSUWA_TEST_REQUIRE names that (or says ``all``)."""
    lacking = missing(*names)
    required = set(os.environ.get("UTSUWA_TEST_REQUIRE", "").replace(",", " ").split())
    refused = lacking if "all" in required else sorted(required.intersection(lacking))
    if refused:
        pytest.fail(f"required but missing: {', '.join(refused)}")
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
