"""Cgroups that a container has nested deeper than paths and stacks go."""

from __future__ import annotations

import os
from pathlib import Path

from tests.contract.oci import Bundle, Runtime
from tests.needs import needs

pytestmark = needs("root", "busybox")

DEPTH = 1300  # more than PATH_MAX in path, and than Python's stack has frames


def freezer_of(pid: int) -> Path:
    """The cgroup that processes are listed and frozen by."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    paths = {controllers: path for _, controllers, path in lines}
    v1 = Path("/sys/fs/cgroup/freezer")
    return Path(f"{v1}{paths['freezer']}") if v1.is_dir() else Path(f"/sys/fs/cgroup{paths['']}")


def nest(top: Path, pid: int) -> None:
    """Make cgroups one in the other and go into the last, as a program in the container would that has them mounted."""
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEPTH):
        os.mkdir("dddd", dir_fd=here)
        inner = os.open("dddd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=here)
    os.write(procs, str(pid).encode())
    os.close(procs)
    os.close(here)


def test_cgroups_deeper_than_paths_go(oci: Runtime, bundle: Bundle) -> None:
    """A container that may make cgroups keeps itself from being seen, stopped or deleted by nesting them.

    Proven: `delete` ended in a RecursionError and left them when each was removed by its path and a call of its own.
    """
    oci.running(bundle.sleep())
    pid = oci.state()["pid"]
    top = freezer_of(pid)
    nest(top, pid)
    assert str(pid) in oci.ok("ps", oci.id, "-o", "pid")
    oci.ok("kill", "-a", oci.id, "0")
    said = oci("exec", oci.id, "true")
    assert "Traceback" not in said.stderr
    oci.ok("pause", oci.id)
    oci.ok("resume", oci.id)
    oci.ok("delete", "-f", oci.id)
    assert not top.exists()
