"""The contract of id-mapped mounts: files that show other owners than they have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.oci import Bundle, Runtime

MAPPED = [{"containerID": 0, "hostID": 100000, "size": 65536}]
ODD = [{"containerID": first, "hostID": host, "size": 1} for first, host in ((0, 101000), (7, 102000))]


@pytest.fixture(autouse=True)
def _of_version_1_2(oci: Runtime) -> None:
    if oci.name == "runc":
        pytest.skip("runc of Debian 12 is older than id-mapped mounts")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A tree of two file systems, with files of three owners; only root may find the way there."""
    tree = tmp_path / "closed" / "source"
    (tree / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", str(tree / "below")], check=True)
    for name, owner in (("root", 0), ("seven", 7), ("below/seven", 7), ("stranger", 5000)):
        (tree / name).touch()
        os.chown(tree / name, owner, owner)
    os.chown(tree, 0, 0)
    tree.parent.chmod(0o700)
    yield tree
    subprocess.run(["umount", str(tree / "below")], check=True)


def bound(bundle: Bundle, source: Path, *options: str, **maps: Any) -> Bundle:
    """The bundle with ``source`` mounted at /shown."""
    bundle.config["mounts"].append({"destination": "/shown", "source": str(source), "options": list(options), **maps})
    return bundle


def in_user_namespace(bundle: Bundle, **namespace: str) -> Bundle:
    bundle.linux["namespaces"].append({"type": "user", **namespace})
    if not namespace:
        bundle.linux.update(uidMappings=MAPPED, gidMappings=MAPPED)
        subprocess.run(["chown", "-R", "-h", "100000:100000", str(bundle.rootfs)], check=True)
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    return bundle


OWNERS = "cd /shown; stat -c '%n %u %g' root seven below/seven stranger"


def owners(text: str) -> dict[str, str]:
    """What `stat` said: name -> user and group."""
    return {name: f"{user}:{group}" for name, user, group in (line.split() for line in text.splitlines())}


def both(maps: list[dict[str, int]]) -> dict[str, Any]:
    return {"uidMappings": maps, "gidMappings": maps}


def test_files_belong_to_whom_the_map_says(oci: Runtime, bundle: Bundle, source: Path) -> None:
    shown = owners(oci.inside(bound(bundle, source, "rbind", **both(ODD)), OWNERS))
    assert shown == {"root": "101000:101000", "seven": "102000:102000", "below/seven": "7:7", "stranger": "65534:65534"}


def test_a_recursive_map_goes_all_the_way_down(oci: Runtime, bundle: Bundle, source: Path) -> None:
    shown = owners(oci.inside(bound(bundle, source, "rbind", "ridmap", **both(ODD)), OWNERS))
    assert (shown["seven"], shown["below/seven"]) == ("102000:102000", "102000:102000")


def test_users_and_groups_have_maps_of_their_own(oci: Runtime, bundle: Bundle, source: Path) -> None:
    shown = owners(oci.inside(bound(bundle, source, "rbind", uidMappings=ODD, gidMappings=MAPPED), OWNERS))
    assert (shown["root"], shown["seven"]) == ("101000:100000", "102000:100007")


def test_in_a_user_namespace_the_owners_are_its_users(oci: Runtime, bundle: Bundle, source: Path) -> None:
    bundle = bound(in_user_namespace(bundle), source, "rbind", **both(ODD))
    assert owners(oci.inside(bundle, OWNERS))["seven"] == "2000:2000"


@pytest.mark.parametrize(("option", "below"), [("idmap", "65534:65534"), ("ridmap", "7:7")])
def test_without_maps_those_of_the_user_namespace_count(
    oci: Runtime, bundle: Bundle, source: Path, option: str, below: str
) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 wants maps for this option")
    shown = owners(oci.inside(bound(in_user_namespace(bundle), source, "rbind", option), OWNERS))
    assert (shown["root"], shown["seven"], shown["below/seven"]) == ("0:0", "7:7", below)


def test_the_maps_of_a_user_namespace_that_is_joined_count_as_well(oci: Runtime, bundle: Bundle, source: Path) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 wants maps for this option")
    other = f"{oci.id}-other"
    namespaces = list(bundle.linux["namespaces"])
    oci.running(in_user_namespace(bundle).sleep(), identifier=other)
    bundle.linux["namespaces"] = namespaces
    for name in ("uidMappings", "gidMappings"):
        del bundle.linux[name]
    in_user_namespace(bundle, path=f"/proc/{oci.state(other)['pid']}/ns/user")
    assert owners(oci.inside(bound(bundle, source, "rbind", "idmap"), OWNERS))["seven"] == "7:7"


def test_what_is_made_there_belongs_to_the_other_side_of_the_map(oci: Runtime, bundle: Bundle, source: Path) -> None:
    bundle = bound(in_user_namespace(bundle), source, "rbind", **both(MAPPED))
    bundle.process["capabilities"]["effective"] = bundle.process["capabilities"]["permitted"] = ["CAP_CHOWN"]
    bundle.process["capabilities"]["bounding"] = ["CAP_CHOWN"]
    oci.inside(bundle, "touch /shown/made; chown 7 /shown/made")
    assert (source / "made").stat().st_uid == 7


def test_nobody_who_is_not_mapped_can_make_files(oci: Runtime, bundle: Bundle, source: Path) -> None:
    done = oci.run(bound(bundle, source, "rbind", **both(ODD)).shell("touch /shown/made"))
    assert done.returncode != 0 and "too large" in done.stderr


def test_attributes_and_propagation_go_with_a_map(oci: Runtime, bundle: Bundle, source: Path) -> None:
    bundle = bound(bundle, source, "rbind", "ro", "noexec", "rslave", **both(ODD))
    line = oci.inside(bundle, "grep ' /shown ' /proc/self/mountinfo")
    assert " ro," in line and "noexec" in line and "master:" not in line.split(" - ")[0].replace("shared", "")


def test_more_of_them_than_descriptors_may_be_open(oci: Runtime, bundle: Bundle, source: Path) -> None:
    in_user_namespace(bundle)
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 20}]
    for number in range(24):
        mount = {"destination": f"/tmp/{number}", "source": str(source), "options": ["rbind"], **both(MAPPED)}
        bundle.config["mounts"].append(mount)
    assert oci.inside(bundle, "stat -c %u /tmp/0/seven /tmp/23/seven") == "7\n7\n"


def test_a_mount_of_the_container_itself_may_be_the_source(oci: Runtime, bundle: Bundle, source: Path) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 opens sources before it mounts")
    in_user_namespace(bundle)
    mounts = bundle.config["mounts"]
    mounts.append({"destination": "/var", "source": str(source), "options": ["rbind"]})
    inner = {"destination": "/shown", "source": str(bundle.rootfs / "var"), "options": ["rbind"], **both(MAPPED)}
    mounts.append(inner)
    assert owners(oci.inside(bundle, OWNERS))["seven"] == "7:7"


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        ({"options": ["bind"], "uidMappings": ODD}, "must have both uid and gid mappings"),
        ({"options": ["bind"], "gidMappings": ODD}, "must have both uid and gid mappings"),
        ({"options": ["bind", "idmap"]}, "must have both uid and gid mappings"),
        ({"type": "tmpfs", "options": ["idmap"]}, "only supported for bind-mounts"),
        ({"type": "tmpfs", **both(ODD)}, "only supported for bind-mounts"),
        ({"options": ["bind"], **both(ODD * 2)}, "mounts[4].uidMappings[2]"),
    ],
)
def test_maps_that_make_no_sense_are_refused(
    oci: Runtime, bundle: Bundle, source: Path, mount: dict[str, Any], said: str
) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 says nothing of it, or something else")
    bundle.config["mounts"].append({"destination": "/shown", "source": str(source), **mount})
    assert said in oci.run(bundle).stderr
    assert not oci.exists()


def test_a_file_system_that_can_not_be_mapped_is_named(oci: Runtime, bundle: Bundle) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 has other words")
    done = oci.run(bound(bundle, Path("/proc/sys"), "bind", **both(ODD)))
    assert done.returncode == 1 and "the file system of /proc/sys can't be id-mapped" in done.stderr
