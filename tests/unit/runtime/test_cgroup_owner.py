"""Whose a container's cgroup is (config-linux.md, "Cgroup ownership")."""

from __future__ import annotations

import os
from typing import Any

import pytest

from utsuwa.runtime.ownership import cgroup_owner
from utsuwa.spec.runtime import IDMapping, Linux, Mount, Namespace, Process, Spec, User

WRITABLE = Mount(destination="/sys/fs/cgroup/", type="cgroup", source="cgroup", options=("nosuid", "rw"))
OWN = (Namespace(type="cgroup"), Namespace(type="user"))
MAPS = (IDMapping(containerID=0, hostID=100000, size=1000), IDMapping(containerID=1000, hostID=5000, size=1))


def _given(
    mount: Mount = WRITABLE, namespaces: tuple[Namespace, ...] = OWN, maps: tuple[IDMapping, ...] = MAPS, uid: int = 0
) -> int | None:
    linux = Linux(namespaces=namespaces, uidMappings=maps or None)
    process = Process(cwd="/", user=User(uid=uid, gid=0))
    return cgroup_owner(Spec(ociVersion="1.3.0", process=process, linux=linux, mounts=(mount,)))


def test_it_is_the_user_s_who_runs_the_process() -> None:
    assert _given() == 100000
    assert _given(uid=7) == 100007
    assert _given(uid=1000) == 5000
    assert _given(uid=7, namespaces=OWN[:1], maps=()) == 7


def test_it_stays_with_the_caller_where_nothing_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 5000)
    assert _given(uid=1000) is None


@pytest.mark.parametrize(
    "other",
    [
        {"mount": WRITABLE.replace(options=("nosuid", "ro"))},
        {"mount": WRITABLE.replace(destination="/cgroups")},
        {"mount": WRITABLE.replace(source="/sys/fs/cgroup", options=("bind",))},
        {"namespaces": OWN[1:]},
        {"namespaces": (Namespace(type="cgroup", path="/proc/1/ns/cgroup"), OWN[1])},
        {"uid": 2000},
        {"maps": ()},
    ],
)
def test_it_stays_with_root_otherwise(other: dict[str, Any]) -> None:
    assert _given(**other) is None
