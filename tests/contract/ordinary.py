"""Runtimes as an ordinary user calls them: an account that exists for one test, with ranges of subordinate ids.

The account is in copies of /etc/passwd, /etc/group, /etc/subuid and /etc/subgid, which are mounted over the host's in a
mount namespace of each call; nothing of the host is changed. newuidmap(1) and newgidmap(1) read them there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.contract.oci import LAUNCHER, Bundle, Runtime, command

UID = 61234
FIRST, COUNT = 400000, 65536
"""Subordinate ids of the account."""

# By their paths: a busybox that is the shell would take its own for these names.
_TOOLS = {name: shutil.which(name) or name for name in ("setpriv", "unshare")}
_BECOME = """#!/bin/sh
exec {unshare} --mount sh -c '
for file in passwd group subuid subgid; do mount --bind {home}/$file /etc/$file; done
while read tasks; do echo $$ > $tasks || exit 1; done < {home}/join
[ -z "{hide}" ] || mount -t tmpfs none {hide}
exec {setpriv} --reuid {uid} --regid {uid} --clear-groups \\
    env -i HOME={home} PATH=/usr/sbin:/usr/bin:/sbin:/bin XDG_RUNTIME_DIR={home}/run "$@"' - "$@"
"""


class Ordinary(Runtime):
    """One runtime, called without privileges. ``join``: files of cgroups that each call joins."""

    def __init__(self, name: str, home: Path, identifier: str) -> None:
        super().__init__(name, home, identifier)
        words = [str(LAUNCHER)] if name == "urun" and LAUNCHER.exists() else command(name, home)
        hide = ""
        if name == "crun":
            # crun of Debian 12 refuses a hybrid host whose cgroup2 hierarchy has no controllers: hide it.
            words, hide = ["crun"], "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else ""
        self.hidden = hide
        account(home)
        self._become = home / "become"
        self._become.write_text(_BECOME.format(home=home, uid=UID, hide=hide, **_TOOLS))
        self._become.chmod(0o755)
        self.join([])
        self.argv = [str(self._become), *words, "--root", str(self.root)]

    def join(self, files: list[str]) -> None:
        """Have each call join the cgroups of these ``cgroup.procs``."""
        (self.directory / "join").write_text("".join(f"{file}\n" for file in files))

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call any program as that user."""
        return subprocess.run([str(self._become), *words], capture_output=True, text=True, timeout=60, check=False)


def account(home: Path) -> None:
    """Files with the account, in a directory that is the account's home."""
    for name, line in (("passwd", f"tester:x:{UID}:{UID}::{home}:/bin/sh\n"), ("group", f"tester:x:{UID}:\n")):
        (home / name).write_text(Path("/etc", name).read_text() + line)
    for name in ("subuid", "subgid"):
        Path("/etc", name).touch()
        (home / name).write_text(f"tester:{FIRST}:{COUNT}\n")
    (home / "run").mkdir()
    for directory in (home, home / "run"):
        os.chown(directory, UID, UID)


def own(bundle: Bundle) -> None:
    """Give the bundle to the account."""
    for path in (bundle.path, *bundle.path.rglob("*")):
        os.chown(path, UID, UID, follow_symlinks=False)


def ids(sizes: Iterator[tuple[int, int, int]]) -> list[dict[str, int]]:
    """Mappings of config.json."""
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in sizes]


def lend(uid: int) -> tuple[list[Path], list[str]]:
    """A cgroup of a user's in every hierarchy, and the files by which that user's processes join them."""
    tops = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if " cgroup" in line]
    made = [top / f"utsuwa-test-delegated-{os.getpid()}" for top in tops if top.is_dir()]
    for path in made:
        _delegate(path, uid)
    inner = [path / "calls" if (path / "cgroup.subtree_control").exists() else path for path in made]
    return made, [str(path / "cgroup.procs") for path in inner]


def _delegate(path: Path, uid: int) -> None:
    """What systemd's Delegate= does."""
    path.mkdir()
    if (path / "cgroup.subtree_control").exists():
        controllers = (path.parent / "cgroup.controllers").read_text().split()
        (path / "calls").mkdir()
        for control in (path.parent, path):
            text = " ".join(f"+{name}" for name in controllers)
            (control / "cgroup.subtree_control").write_text(text)
    elif path.parent.name == "cpuset":
        for name in ("cpuset.cpus", "cpuset.mems"):
            (path / name).write_text((path.parent / name).read_text())
    for entry in (path, *path.rglob("*")):
        if entry.is_dir() or entry.name in ("cgroup.procs", "tasks", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(entry, uid, uid)


def take_back(made: list[Path]) -> None:
    """Remove what was lent; nobody is in it any more."""
    for path in made:
        for below in sorted(path.rglob("*"), reverse=True):
            if below.is_dir():
                below.rmdir()
        path.rmdir()
