"""The contract of runtimes that an ordinary user calls, without a cgroup, with one that is delegated, and nested."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.oci import LAUNCHER, Bundle, cgroups_of, identifiers, mounts_below
from tests.contract.ordinary import COUNT, FIRST, UID, Ordinary, ids, lend, own, take_back
from tests.contract.seccomp_agent import Agent
from tests.contract.test_oci_notify import asks, refuse_mkdir
from tests.contract.test_oci_terminal import Receiver
from tests.needs import cgroups, enforce, needs

pytestmark = needs("root", "setpriv", "newuidmap")

_IDENTIFIERS = identifiers()


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the account reaches; pytest's own are root's."""
    path = Path(tempfile.mkdtemp(prefix="utsuwa-rootless-"))
    path.chmod(0o755)
    yield path
    assert mounts_below(path) == []
    shutil.rmtree(path)


@pytest.fixture(params=["urun", "crun", "runc"])
def oci(request: pytest.FixtureRequest, home: Path) -> Iterator[Ordinary]:
    if request.param != "urun":
        enforce(request.param)
    runtime = Ordinary(request.param, home, next(_IDENTIFIERS))
    if request.param == "urun" and LAUNCHER.exists() and runtime.shell("test", "-x", str(LAUNCHER)).returncode:
        pytest.skip("the project lies where others than root do not get")
    yield runtime
    runtime.clean()
    assert cgroups_of(runtime.id) == []


@pytest.fixture
def bundle(home: Path, busybox: Path, oci: Ordinary) -> Bundle:
    """A bundle of the account's, with its one id as root."""
    del oci  # makes the account
    copy = shutil.copy(busybox, home / "busybox")
    made = Bundle(home / "bundle", Path(copy))
    kinds = ("pid", "ipc", "uts", "mount", "user")
    made.linux["namespaces"] = [{"type": kind} for kind in kinds]
    made.linux["uidMappings"] = made.linux["gidMappings"] = ids(iter([(0, UID, 1)]))
    del made.linux["resources"]
    made.config["mounts"] = [mount for mount in made.config["mounts"] if mount["destination"] != "/sys"]
    for mount in made.config["mounts"]:
        mount["options"] = [word for word in mount.get("options", ()) if word != "gid=5"]
    options = ["rbind", "nosuid", "noexec", "nodev", "ro"]
    made.config["mounts"].append({"destination": "/sys", "type": "none", "source": "/sys", "options": options})
    own(made)
    return made


def with_ranges(bundle: Bundle) -> Bundle:
    """Root is the account, all others are its subordinate ids."""
    mapped = ids(iter([(0, UID, 1), (1, FIRST, COUNT)]))
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapped
    return bundle


def test_a_single_id_is_root_inside(oci: Ordinary, bundle: Bundle) -> None:
    assert oci.inside(bundle, "id -u; id -g; touch /made; cat /proc/self/uid_map").split() == [
        *("0", "0"),
        *("0", str(UID), "1"),
    ]
    assert (bundle.rootfs / "made").stat().st_uid == UID


def test_ranges_are_mapped_by_newuidmap(oci: Ordinary, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
    oci.inside(with_ranges(bundle), "touch /made && chown 1000:2000 /made")
    found = (bundle.rootfs / "made").stat()
    assert (found.st_uid, found.st_gid) == (FIRST + 999, FIRST + 1999)
    oci.shell("rm", "-f", str(bundle.rootfs / "made"))


def test_another_user_of_the_ranges(oci: Ordinary, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}
    assert oci.inside(with_ranges(bundle), "id -u; id -g; id -G").split() == ["1000", "1000", "1000", "7"]


def test_a_range_that_is_not_ours_is_refused(oci: Ordinary, bundle: Bundle) -> None:
    bundle.linux["uidMappings"] = ids(iter([(0, UID, 1), (1, FIRST - 5, 10)]))
    done = oci.run(bundle.shell("true"))
    assert done.returncode != 0
    assert "newuidmap" in done.stderr or "not permitted" in done.stderr
    assert not oci.exists()


@cgroups
def test_a_life(oci: Ordinary, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    assert oci.state()["status"] == "running"
    assert oci.ok("exec", oci.id, "id", "-u") == "0\n"
    done = oci("exec", oci.id, "sh", "-c", "exit 7")
    assert done.returncode == 7
    assert oci.id in oci.ok("list")
    pid = oci.state()["pid"]
    assert os.stat(f"/proc/{pid}").st_uid == UID
    oci.ok("kill", oci.id, "TERM")
    oci.until("stopped")
    oci.ok("delete", oci.id)
    assert not oci.exists()


def test_the_root_that_is_meant_without_an_option(oci: Ordinary, bundle: Bundle) -> None:
    """$XDG_RUNTIME_DIR/NAME is the user's own."""
    bundle.write()
    words = [word for word in oci.argv[1:] if word not in ("--root", str(oci.root))]
    done = oci.shell(*words, "run", "--bundle", str(bundle.path), oci.id)
    assert done.returncode == 0, done.stderr
    assert (oci.directory / "run" / oci.name).stat().st_uid == UID


def test_specs_for_such_users_run(oci: Ordinary, bundle: Bundle) -> None:
    """With what it takes for version 1.8.1 of crun, which does not know the version of the specification."""
    (bundle.path / "config.json").unlink(missing_ok=True)
    done = oci.shell("sh", "-c", f"cd {bundle.path} && exec {shlex.join(oci.argv[1:-2])} spec --rootless")
    assert done.returncode == 0, done.stderr
    config: dict[str, Any] = json.loads((bundle.path / "config.json").read_text())
    kinds = {namespace["type"] for namespace in config["linux"]["namespaces"]}
    assert "user" in kinds
    assert "network" not in kinds
    assert config["linux"]["uidMappings"] == ids(iter([(0, UID, 1)]))
    assert "resources" not in config["linux"]
    config["process"].update(terminal=False, args=["sh", "-c", "id -u; ls /sys | grep class"])
    bundle.config = config
    done = oci.run(bundle)
    assert (done.returncode, done.stdout) == (0, "0\nclass\n"), done.stderr


def test_a_terminal(oci: Ordinary, bundle: Bundle, home: Path) -> None:
    bundle.process["terminal"] = True
    receiver = Receiver(home / "socket")
    os.chown(home / "socket", UID, UID)
    try:
        oci._made.append(oci.id)
        bundle.shell("tty; stat -c %u $(tty)").write()
        words = ("run", "--detach", "--bundle", str(bundle.path), "--console-socket", str(receiver.path), oci.id)
        oci.ok(*words)
        receiver.take()
        assert receiver.read().split() == ["/dev/pts/0", "0"]
    finally:
        receiver.close()


def test_limits_need_a_cgroup(oci: Ordinary, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    done = oci.run(bundle.shell("true"))
    assert done.returncode != 0
    known = ("container could not join or create cgroup", "rootless needs no limits + no cgrouppath")
    assert any(words in done.stderr for words in known), done.stderr
    assert not oci.exists()


def test_a_cgroup_that_is_asked_for_by_name_must_be_had(oci: Ordinary, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/utsuwa-test-none/{oci.id}"
    done = oci.run(bundle.shell("true"))
    assert done.returncode != 0
    assert "ermission denied" in done.stderr
    assert not oci.exists()


def test_pause_needs_a_cgroup(oci: Ordinary, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    assert "cgroup" in oci.fails("pause", oci.id)
    assert oci.status() == "running"


@pytest.fixture
def delegated(oci: Ordinary) -> Iterator[list[Path]]:
    """A cgroup of the account's in every hierarchy, which its calls join."""
    made, files = lend(UID)
    oci.join(files)
    yield made
    oci.join([])
    oci.clean()
    take_back(made)


@cgroups
def test_a_delegated_cgroup_takes_limits(oci: Ordinary, bundle: Bundle, delegated: list[Path]) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 17}}
    bundle.linux["cgroupsPath"] = f"/{delegated[0].name}/{oci.id}"
    oci.running(bundle.sleep())
    found = [path / oci.id / "pids.max" for path in delegated if (path / oci.id / "pids.max").exists()]
    assert [path.read_text().strip() for path in found] == ["17"]
    assert str(oci.state()["pid"]) in (found[0].parent / "cgroup.procs").read_text().split()
    oci.stop()
    oci.ok("delete", oci.id)
    assert not found[0].parent.exists()


@cgroups
def test_pause_in_a_delegated_cgroup(oci: Ordinary, bundle: Bundle, delegated: list[Path]) -> None:
    bundle.linux["cgroupsPath"] = f"/{delegated[0].name}/{oci.id}"
    oci.running(bundle.sleep())
    oci.ok("pause", oci.id)
    assert oci.status() == "paused"
    oci.ok("resume", oci.id)
    assert oci.status() == "running"


def test_in_a_user_namespace_of_another(oci: Ordinary, bundle: Bundle) -> None:
    """Root of a namespace with one id, as in a container without privileges: one more level."""
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = ids(iter([(0, 0, 1)]))
    bundle.shell("id -u; cat /proc/self/uid_map").write()
    done = oci.shell(
        "unshare", "--user", "--map-root-user", "--mount", *oci.argv[1:], "run", "-b", str(bundle.path), "x"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", "0", "1"]


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_seccomp_agent_decides(oci: Ordinary, bundle: Bundle, home: Path, no_new_privileges: bool) -> None:
    """The listener comes without a right to look into the process that has made it."""
    with Agent(str(home / "agent.sock"), refuse_mkdir) as agent:
        (home / "agent.sock").chmod(0o777)
        asks(bundle, home, "mkdir", "mkdirat", nnp=no_new_privileges)
        done = oci.run(bundle.shell("mkdir /tmp/made; echo $?"))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert "No medium found" in done.stderr
    assert len(agent.documents) == 1
