"""The default configuration, and the small documents beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.errors import InvalidArgument
from utsuwa.spec import codec
from utsuwa.spec.default import default_spec
from utsuwa.spec.features import CgroupFeatures, Features, LinuxFeatures, Switch
from utsuwa.spec.mount import Mount
from utsuwa.spec.runtime import Spec
from utsuwa.spec.state import State
from utsuwa.spec.validate import validate


@pytest.mark.parametrize("rootless", [False, True])
@pytest.mark.parametrize("cgroup2", [False, True])
def test_is_valid_and_survives_a_round_trip(rootless: bool, cgroup2: bool) -> None:
    spec = default_spec(rootless, cgroup2=cgroup2)
    validate(spec)
    assert codec.decode(Spec, codec.dumps(spec, "\t")) == spec
    assert (spec.linux.namespace("cgroup") is not None) is cgroup2


def test_rootless_maps_the_caller_and_shares_the_network() -> None:
    linux = default_spec(rootless=True).linux
    assert (linux.uidMappings[0].hostID, linux.gidMappings[0].hostID) == (os.geteuid(), os.getegid())
    assert [each.type for each in linux.namespaces] == ["pid", "ipc", "uts", "mount", "user"]
    assert linux.resources is None
    assert default_spec(rootless=True, uid=1, gid=2).linux.gidMappings[0].hostID == 2


@needs("runc")
@pytest.mark.parametrize("rootless", [False, True])
def test_prints_what_runc_prints(rootless: bool, tmp_path: Path) -> None:
    """Byte for byte, but for the version, the name, and ambient capabilities, which runc has left out since 1.2."""
    flags = ["--rootless"] if rootless else []
    subprocess.run(["runc", "spec", *flags], cwd=tmp_path, check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    text = (tmp_path / "config.json").read_text()
    theirs = codec.decode(Spec, text)
    unified = theirs.linux.namespace("cgroup") is not None
    ours = default_spec(rootless, cgroup2=unified)
    adapted = ours.replace(
        ociVersion=theirs.ociVersion,
        hostname="runc",
        process=ours.process.replace(
            capabilities=ours.process.capabilities.replace(ambient=theirs.process.capabilities.ambient)
        ),
    )
    if [each.type for each in theirs.linux.namespaces] != [each.type for each in ours.linux.namespaces]:
        pytest.fail(f"namespaces in another order: {theirs.linux.namespaces}")
    assert codec.dumps(adapted, "\t") == text.rstrip("\n")


def test_state_prints_in_the_order_of_runc_and_tells_hooks_less() -> None:
    state = State(
        ociVersion="1.3.0",
        id="a",
        pid=0,
        status="stopped",
        bundle="/b",
        rootfs="/b/rootfs",
        created="2024-01-01T00:00:00Z",
        annotations={"k": "v"},
        owner="",
    )
    assert " ".join(codec.encode(state)) == "ociVersion id pid status bundle rootfs created annotations owner"
    assert " ".join(codec.encode(state.for_hook())) == "ociVersion id pid status bundle annotations"
    with pytest.raises(
        InvalidArgument, match=r"^status: expected one of creating, created, running, paused, stopped, found"
    ):
        codec.decode(State, codec.encode(state) | {"status": "dead"})


def test_features_tell_absent_from_unknown() -> None:
    features = Features(
        ociVersionMin="1.0.0",
        ociVersionMax="1.3.0",
        linux=LinuxFeatures(cgroup=CgroupFeatures(v1=True, systemd=False), apparmor=Switch(enabled=False)),
    )
    linux = codec.encode(features)["linux"]
    assert linux == {"cgroup": {"v1": True, "systemd": False}, "apparmor": {"enabled": False}}
    assert codec.decode(Features, codec.dumps(features, 4)) == features


def test_options_of_a_mount() -> None:
    mount = Mount(type="overlay", source="overlay", options=("ro", "lowerdir=/a=b:/c", "index=off", "index=on"))
    assert mount.option("lowerdir") == "/a=b:/c"
    assert mount.option("index") == "on"
    assert mount.option("ro") == ""
    assert mount.option("lower") is None
    assert mount.target == ""
