"""Volumes and mounts: made, shared, filled, looked at, removed, and never taken from somebody who has them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("volumes")
    directory.chmod(0o755)
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-fv", identifier)
    house.ok("volume", "prune", "-af")
    assert house.leftovers() == []
    volumes = house.root / "volumes"
    assert not volumes.exists() or list(volumes.iterdir()) == []


def volumes(house: Household) -> list[str]:
    return house.ok("volume", "ls", "-q").split()


def test_a_volume_from_its_making_to_its_end(house: Household) -> None:
    assert house.ok("volume", "create", "--label", "a=b", "--label", "c", "data") == "data\n"
    assert house.ok("volume", "create", "data") == "data\n"  # it is there already: fine
    anonymous = house.ok("volume", "create").strip()
    assert len(anonymous) == 64
    shown = json.loads(house.ok("volume", "inspect", "data"))[0]
    assert shown.keys() == {"CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"}
    assert shown["Labels"] == {"a": "b", "c": ""}
    assert Path(shown["Mountpoint"]).is_dir()
    assert house.ok("volume", "ls").splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert house.ok("volume", "ls", "--format", "{{.Name}} {{.Labels}}", "-f", "label=a=b") == "data a=b,c=\n"
    assert house.ok("volume", "prune", "-f").splitlines()[:2] == ["Deleted Volumes:", anonymous]
    assert volumes(house) == ["data"]
    assert house("volume", "prune", "-a", stdin=b"n\n").returncode == 1
    assert house.ok("volume", "rm", "data") == "data\n"
    done = house("volume", "rm", "data")
    assert (done.returncode, done.stderr) == (1, b"utsuwa: get data: no such volume\n")
    assert house("volume", "rm", "-f", "data").returncode == 0
    assert house("volume", "inspect", "data").returncode == 1


def test_a_volume_in_use_is_not_removed(house: Household) -> None:
    identifier = house.ok("create", "-v", "kept:/data", IMAGE, "true").strip()
    done = house("volume", "rm", "kept")
    assert done.returncode == 1
    assert done.stderr.decode() == f"utsuwa: remove kept: volume is in use - [{identifier}]\n"
    assert house.ok("volume", "ls", "-qf", "dangling=true") == ""
    house.ok("volume", "prune", "-af")
    assert volumes(house) == ["kept"]
    house.ok("rm", "-v", identifier)
    assert house.ok("volume", "ls", "-qf", "dangling=true") == "kept\n"


def test_containers_share_a_named_volume(house: Household) -> None:
    house.ok("run", "--rm", "-v", "shared:/a", IMAGE, "sh", "-c", "echo first >/a/file")
    assert house.ok("run", "--rm", "--mount", "src=shared,dst=/b,readonly", IMAGE, "cat", "/b/file") == "first\n"
    assert house("run", "--rm", "-v", "shared:/a:ro", IMAGE, "touch", "/a/x").returncode == 1


def test_an_empty_volume_is_filled_unless_told_not_to(house: Household) -> None:
    assert "passwd" in house.ok("run", "--rm", "-v", "full:/etc", IMAGE, "ls", "/etc")
    assert house.ok("run", "--rm", "--mount", "src=none,dst=/bin2,volume-nocopy", IMAGE, "ls", "/bin2") == ""
    assert house.ok("run", "--rm", "-v", "none2:/mnt:nocopy", IMAGE, "ls", "/mnt") == ""


def test_a_filling_that_was_cut_off_is_done_again(house: Household) -> None:
    house.ok("volume", "create", "half")
    directory = house.root / "volumes/half"
    (directory / "filling").touch()
    (directory / "_data/passwd").mkdir()
    assert "root" in house.ok("run", "--rm", "-v", "half:/etc", IMAGE, "cat", "/etc/passwd")
    assert not (directory / "filling").exists()


def test_anonymous_volumes_go_with_their_last_container(house: Household) -> None:
    house.ok("run", "-d", "--name", "one", "-v", "/data", IMAGE, "sh", "-c", "echo here >/data/file; sleep 1000")
    house.ok("create", "--name", "two", "--volumes-from", "one:ro", IMAGE, "sh", "-c", "cat /data/file; touch /data/x")
    assert len(volumes(house)) == 1
    house.ok("rm", "-fv", "one")
    assert len(volumes(house)) == 1
    done = house("start", "-a", "two")
    assert (done.stdout, done.returncode) == (b"here\n", 1)
    house.ok("rm", "-v", "two")
    assert volumes(house) == []
    house.ok("run", "--rm", "-v", "/data", IMAGE, "true")
    assert volumes(house) == []
    house.ok("run", "--name", "left", "-v", "/data", IMAGE, "true")
    house.ok("rm", "left")
    assert len(volumes(house)) == 1


def test_volumes_from_gives_way_to_what_is_asked_for(house: Household, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    house.ok("create", "--name", "lender", "-v", "lent:/data", "-v", f"{tmp_path}:/host", IMAGE, "true")
    (tmp_path / "there").touch()
    printed = house.ok(
        "run", "--rm", "--volumes-from", "lender", "-v", "other:/data", IMAGE, "sh", "-c", "ls /host; touch /data/x"
    )
    assert printed == "there\n"
    assert list((house.root / "volumes/lent/_data").iterdir()) == []
    assert house("create", "--volumes-from", "nobody", IMAGE).returncode == 1
    assert "invalid mode: q" in house("create", "--volumes-from", "lender:q", IMAGE).stderr.decode()


def test_a_subpath_stays_inside_its_volume(house: Household, tmp_path: Path) -> None:
    script = "mkdir -p /v/a/b; echo deep >/v/a/b/file; ln -s /a/b /v/inside; ln -s ../../../../../../etc /v/out"
    house.ok("run", "--rm", "-v", "tree:/v", IMAGE, "sh", "-c", script)

    def read(subpath: str) -> object:
        done = house("run", "--rm", "--mount", f"src=tree,dst=/m,volume-subpath={subpath}", IMAGE, "ls", "/m")
        return done.stdout.decode() if done.returncode == 0 else done.stderr.decode()

    assert read("a/b") == "file\n"
    assert read("inside") == "file\n"  # counted from the volume's root, not from the host's
    assert "no such file" in str(read("out"))
    assert "no such file" in str(read("nowhere"))
    assert "must be a relative path within" in str(read("../x"))


def test_images_are_mounted(house: Household) -> None:
    script = "head -n1 /i/etc/passwd; touch /i/x"
    printed = house("run", "--rm", "--mount", f"type=image,src={IMAGE},dst=/i", IMAGE, "sh", "-c", script)
    assert printed.stdout.startswith(b"root:")
    assert b"Read-only file system" in printed.stderr
    only = house.ok("run", "--rm", "--mount", f"type=image,src={IMAGE},dst=/i,image-subpath=etc", IMAGE, "ls", "/i")
    assert "passwd" in only
    file = f"type=image,src={IMAGE},dst=/f,image-subpath=etc/passwd"
    assert house.ok("run", "--rm", "--mount", file, IMAGE, "head", "-n1", "/f").startswith("root:")
    assert "No such image" in house("create", "--mount", "type=image,src=nosuch,dst=/i", IMAGE).stderr.decode()
    house.ok("create", "--mount", f"type=image,src={IMAGE},dst=/i", IMAGE)


def test_tmpfs_and_options_of_the_local_driver(house: Household, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    mount = "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700"
    show = ["sh", "-c", "stat -c %a /t; df -k /t | tail -n1 | tr -s ' ' | cut -d' ' -f2"]
    assert house.ok("run", "--rm", "--mount", mount, IMAGE, *show) == "1700\n1024\n"
    house.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2m,mode=755", "memory")
    assert house.ok("run", "--name", "mm", "-v", "memory:/t", IMAGE, *show) == "755\n2048\n"
    assert "one container has at a time" in house("create", "-v", "memory:/t", IMAGE).stderr.decode()
    (tmp_path / "file").write_text("bound")
    house.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", "bound")
    assert house.ok("run", "--rm", "-v", "bound:/b", IMAGE, "cat", "/b/file") == "bound"
    for options in (["-o", "nosuch=1"], ["-o", "type=nfs"], ["-o", "type=ext4"], ["-d", "cloud"]):
        assert house("volume", "create", *options).returncode == 1


def test_binds_propagate_as_asked(house: Household, tmp_path: Path) -> None:
    done = house("create", "--mount", f"type=bind,src={tmp_path}/none,dst=/b", IMAGE)
    assert "bind source path does not exist" in done.stderr.decode()
    (tmp_path / "sub").mkdir()
    tmp_path.chmod(0o755)
    script = "touch /b/x 2>/dev/null && echo rw; touch /b/sub/x 2>/dev/null && echo sub; true"
    options = f"type=bind,src={tmp_path},dst=/b,ro"
    assert house.ok("run", "--rm", "--mount", options, IMAGE, "sh", "-c", script) == ""
    assert house.ok("run", "--rm", "-v", f"{tmp_path}:/b:z", IMAGE, "sh", "-c", script) == "rw\nsub\n"


def test_what_inspect_shows(house: Household, tmp_path: Path) -> None:
    house.ok("create", "--name", "shown", "-v", "vol:/v:ro", "-v", f"{tmp_path}:/b", "--tmpfs", "/t", IMAGE)
    document = json.loads(house.ok("inspect", "shown"))[0]
    by_place = {mount["Destination"]: mount for mount in document["Mounts"]}
    assert by_place["/v"]["Name"] == "vol"
    assert (by_place["/v"]["RW"], by_place["/b"]["RW"]) == (False, True)
    assert by_place["/b"] == {
        "Type": "bind",
        "Source": str(tmp_path),
        "Destination": "/b",
        "Mode": "",
        "RW": True,
        "Propagation": "rprivate",
    }
    assert document["HostConfig"]["Binds"] == ["vol:/v:ro", f"{tmp_path}:/b"]
    assert house.ok("ps", "-aqf", "volume=vol").strip() == document["Id"][:12]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.08])
def test_makers_are_killed_at_any_moment(house: Household, delay: float) -> None:
    import time

    maker = house.begin("create", "-v", "/a", "-v", "named:/etc", "--mount", f"type=image,src={IMAGE},dst=/i", IMAGE)
    time.sleep(delay)
    maker.send_signal(signal.SIGKILL)
    maker.communicate(timeout=20)
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-v", identifier)
    house("rm", "nobody")
    house.ok("ps", "-a")
    until(lambda: [name for name in volumes(house) if name != "named"] == [])
    assert "root" in house.ok("run", "--rm", "-v", "named:/etc", IMAGE, "cat", "/etc/passwd")
    assert [name for name in os.listdir(house.root / "volumes") if name[0] == "."] == []
