"""An ordinary user's engine, for tests: nobody of this machine, with ids that a private /etc/subuid lends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, SOURCE, Household, until
from tools.oci_image import busybox_layer, write_layout
from utsuwa.runtime.process import start_time

NOBODY = 65534
LAUNCHER = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "utsuwa"
INSIDE, OUTSIDE = "198.51.100.2", "198.51.100.1"
"""Addresses of the machine that the user is on, and of another one."""

_SETTLE = """\
set -e
mount --make-rprivate /
mount --bind {0}/subids /etc/subuid
mount --bind {0}/subids /etc/subgid
mount --bind {0}/passwd /etc/passwd
[ -n "{1}" ] || {{ echo 0; exec sleep 1000; }}
mount -t tmpfs tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
unshare -n sleep 1000 & other=$!
while [ $(readlink /proc/$other/ns/net) = $(readlink /proc/self/ns/net) ]; do :; done
ip link add up0 type veth peer name up1 netns $other
ip address add {1}/24 dev up0
ip -6 address add fd12::2/64 dev up0 nodad
ip link set up0 up
ip route add default via {2}
ip -6 route add default via fd12::1
nsenter --net=/proc/$other/ns/net ip link set lo up
nsenter --net=/proc/$other/ns/net ip address add {2}/24 dev up1
nsenter --net=/proc/$other/ns/net ip link set up1 up
echo $other
exec sleep 1000
"""


def _program(name: str) -> str:
    """Its path: a shell that is busybox would take its own for the name."""
    return shutil.which(name) or name


class Lodger(Household):
    """``utsuwa`` as somebody else, where the files about users are others, and the network is one of two machines."""

    def __init__(
        self,
        subids: str = "lodger:200000:65536\n",
        *,
        uid: int = NOBODY,
        network: bool = True,
        runtime: str = "",
        cgroups: Sequence[str] = (),
    ) -> None:
        """``network``: one of two machines. ``runtime``: XDG_RUNTIME_DIR. ``cgroups``: files to join them."""
        self.uid, self._cgroups = uid, cgroups
        self.directory = directory = Path(tempfile.mkdtemp(prefix="utsuwa-rootless-"))
        directory.chmod(0o755)  # others than root have to get there, unlike to pytest's own
        super().__init__(directory)
        self._runtime = Path(runtime or directory / "run")
        self.root, self.run_directory = directory / "data/utsuwa", self._runtime / "utsuwa"
        self.environment = dict(os.environ)
        self._lend(subids)
        script = _SETTLE.format(directory, INSIDE if network else "", OUTSIDE)
        spaces = ["-m", "-n"] if network else ["-m"]
        self._holder = subprocess.Popen(["unshare", *spaces, "sh", "-c", script], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        self._other = int(self._holder.stdout.readline())

    def _lend(self, subids: str) -> None:
        for name in ("subuid", "subgid"):
            Path("/etc", name).touch()
        passwd = f"root:x:0:0::/root:/bin/sh\nlodger:x:{self.uid}:{self.uid}::{self.directory}/home:/bin/sh\n"
        (self.directory / "subids").write_text(subids)
        (self.directory / "passwd").write_text(passwd)
        for name in ("home", "run", "data"):
            (self.directory / name).mkdir()
            os.chown(self.directory / name, self.uid, self.uid)

    @property
    def enter(self) -> list[str]:
        """What makes a command one of that user."""
        words = f"PATH={os.environ['PATH']}:/usr/sbin:/sbin", f"HOME={self.directory}/home"
        places = f"XDG_RUNTIME_DIR={self._runtime}", f"XDG_DATA_HOME={self.directory}/data"
        user = [_program("setpriv"), "--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups", "env", "-i"]
        join = "".join(f"echo $$ >{file} && " for file in self._cgroups)
        return ["sh", "-c", f'{join}exec "$@"', "sh", *self.here, *user, *words, *places]

    @property
    def here(self) -> list[str]:
        """What makes a command one of root on the user's machine."""
        return [
            _program("nsenter"),
            f"--mount=/proc/{self._holder.pid}/ns/mnt",
            f"--net=/proc/{self._holder.pid}/ns/net",
        ]

    @property
    def elsewhere(self) -> list[str]:
        """What makes a command one of the other machine."""
        return ["nsenter", f"--net=/proc/{self._other}/ns/net"]

    def command(self, *words: str) -> list[str]:
        """The command line behind everything that makes us that user; registries are on this machine's own loopback."""
        if words[0] in ("login", "logout", "pull", "push"):
            return [word for word in [*self.enter, str(LAUNCHER), *words] if not word.startswith("--net=")]
        return [*self.enter, *super().command(*words)]

    def settle(self) -> None:
        """Bring the test image in; skips where ordinary users can't be tested."""
        readable = ["setpriv", "--reuid", str(self.uid), "--clear-groups", "test", "-r", str(SOURCE / "utsuwa")]
        problem = "the sources are not everybody's to read" if subprocess.run(readable, check=False).returncode else ""
        archive = self.directory / "image.tar"
        write_layout(archive, [busybox_layer()], f"{IMAGE}:latest", {"Env": ["PATH=/bin"]})
        done = self("load", "-i", str(archive))
        if b"lets no ordinary user make a user namespace" in done.stderr:
            problem = done.stderr.decode()
        if problem:
            self.leave()
            pytest.skip(problem)
        assert done.returncode == 0, done.stderr.decode()

    def holder(self) -> int:
        """The pid of the process that keeps the user namespace."""
        return int((self.run_directory / "rootless").read_text().split()[0])

    def named(self, name: str) -> list[int]:
        """Processes on the user's machine with this name."""
        wanted = os.readlink(f"/proc/{self._holder.pid}/ns/net")
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                comm = Path(f"/proc/{pid}/comm").read_text().strip()
                if comm.startswith(name) and os.readlink(f"/proc/{pid}/ns/net") == wanted:
                    found.append(int(pid))
            except OSError:
                continue
        return found

    def leave(self) -> None:
        """End everything of this user."""
        if (self.run_directory / "rootless").exists():
            self.end()
            until(lambda: not self.named("utsuwa-gate"))
            holder = self.holder()
            os.kill(holder, signal.SIGKILL)
            until(lambda: start_time(holder) is None)  # it may be in a cgroup that is to be removed
        for pid in filter(None, (self._other, self._holder.pid)):
            os.kill(pid, signal.SIGKILL)
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        shutil.rmtree(self.directory)
