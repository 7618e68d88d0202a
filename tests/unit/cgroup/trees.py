"""Cgroup trees of plain files in a temporary directory, for what does not need the kernel's answers.

A directory made there is empty, where the kernel would fill it; ``fill`` does that for the files that a test reads.
"""

from __future__ import annotations

from pathlib import Path

from utsuwa.linux.host import Host

V1 = ("cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "name=systemd")


def v1_host(top: Path, *, hybrid: bool = False, together: bool = False, cpuset: bool = False, **facts: object) -> Host:
    """A host with a directory for each hierarchy below ``top``; ``together`` mounts cpu and cpuacct as one.

    ``cpuset`` is for tests that make the files in it, as the kernel would.
    """
    names = (*V1, "cpuset") if cpuset else V1
    mounts = {name: str(top / name.removeprefix("name=")) for name in names}
    if together:
        mounts["cpu"] = mounts["cpuacct"] = str(top / "cpu,cpuacct")
    if hybrid:
        mounts[""] = str(top / "unified")
    for path in mounts.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    if cpuset:
        fill(Path(mounts["cpuset"]), {"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"})
    given = {"cgroup_paths": dict.fromkeys(mounts, "/"), "cgroup_roots": dict.fromkeys(mounts, "/"), **facts}
    return Host(cgroup_mode="hybrid" if hybrid else "v1", cgroup_mounts=mounts, **given)


def v2_host(top: Path, own: str = "/", **facts: object) -> Host:
    """A host with one directory ``top``, and ourselves at ``own`` in it."""
    top.mkdir(parents=True, exist_ok=True)
    fill(top, {"cgroup.controllers": "cpu memory pids io\n", "cgroup.subtree_control": "cpu\n"})
    return Host(cgroup_mode="v2", cgroup_mounts={"": str(top)}, cgroup_roots={"": "/"}, cgroup_paths={"": own}, **facts)


def fill(directory: Path, files: dict[str, str]) -> Path:
    """Put ``files`` into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(content)
    return directory


def written(directory: Path) -> dict[str, str]:
    """What the files of ``directory`` hold now."""
    return {path.name: path.read_text() for path in sorted(directory.iterdir()) if path.is_file()}
