"""A tiny root file system and a way to run plans in it, written out by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from utsuwa.init.spawn import Child, spawn
from utsuwa.plan import ops
from utsuwa.plan.plan import Plan, Step

NEW_MOUNTS = 0x20000
NEW_NAMESPACES = NEW_MOUNTS | 0x4000000 | 0x8000000 | 0x20000000  # mount, uts, ipc, pid
SLAVE = 1 << 19 | 1 << 14  # MS_SLAVE | MS_REC
PROC = ops.Mount("proc", "proc", "/proc", flags=ops.ORDINARY_DIRECTORY)
DEV = ops.Mount("tmpfs", "tmpfs", "/dev", ("mode=755",))
DEVPTS = ops.Mount("devpts", "devpts", "/dev/pts", ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system with busybox, a passwd and a group file."""
    tree = tmp_path / "root"
    for name in ("bin", "etc", "proc", "sys", "tmp", "dev"):
        (tree / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed to fill a root file system"
    shutil.copy(busybox, tree / "bin" / "busybox")
    (tree / "bin" / "sh").symlink_to("busybox")
    (tree / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n0x:x:5:5::/:\njoe:x:1000:1001:Joe:/home/joe:\n")
    (tree / "etc" / "group").write_text("root:x:0:\nstaff:x:50:ann,joe\njoe:x:1001:\nwheel:x:10:joe\njoey:x:11:joey\n")
    return tree


def prelude(root: Path, *mounts: ops.Op, flags: int = NEW_NAMESPACES) -> tuple[ops.Op, ...]:
    """Up to where the root is mounted, with ``mounts`` in it."""
    return (ops.Clone(flags), ops.RootPropagation(SLAVE), ops.RootBind(str(root)), *mounts)


def shell(script: str, *, env: tuple[str, ...] = ()) -> ops.Exec:
    """Run a script with busybox as the program."""
    return ops.Exec(("/bin/busybox", "sh", "-c", script), ("PATH=/bin", *env))


def plan_of(*operations: ops.Op, keep: tuple[int, ...] = ()) -> Plan:
    return Plan([Step(op, "") for op in operations], keep=keep)


class Runner:
    """Runs plans, collects every process it started."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._alive: dict[int, Child] = {}

    def start(self, *operations: ops.Op, slots: dict[str, int] | None = None, keep: tuple[int, ...] = ()) -> Child:
        """Spawn only; the caller talks."""
        child = spawn(plan_of(*operations, keep=keep), slots)
        self._alive[id(child)] = child
        return child

    def follow(self, child: Child, answer: Callable[[int], None] = lambda request: None) -> int:
        """Answer all requests; the exit status of the program (negative: signal)."""
        try:
            while (report := child.next()) is not None:
                if report.kind == 2:
                    answer(report.value)
                    child.reply()
        except Exception:
            self.reap(child)
            raise
        return self.reap(child)

    def reap(self, child: Child) -> int:
        del self._alive[id(child)]
        child.close()
        return os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) if child.pid else 0

    def __call__(self, *operations: ops.Op, slots: dict[str, int] | None = None, keep: tuple[int, ...] = ()) -> str:
        """Run to the end, which must be good; what it printed."""
        self._capfd.readouterr()
        status = self.follow(self.start(*operations, slots=slots, keep=keep))
        printed = self._capfd.readouterr()
        assert status == 0, f"status {status}: {printed.err}"
        return printed.out

    def end(self) -> None:
        for child in list(self._alive.values()):
            if child.pid:
                os.kill(child.pid, 9)
            self.reap(child)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Iterator[Runner]:
    runner = Runner(capfd)
    yield runner
    runner.end()
