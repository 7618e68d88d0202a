"""Plans that are not only read: what the kernel makes of the configurations that differ most."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.golden.cases import MAPPED, spec, with_namespaces
from tests.golden.hosts import state_json
from tests.needs import needs
from utsuwa.init.spawn import spawn
from utsuwa.linux import idmaps
from utsuwa.linux.host import probe
from utsuwa.plan import ops
from utsuwa.plan.create import create
from utsuwa.plan.exec import execute
from utsuwa.plan.options import CreateOptions, ExecOptions
from utsuwa.plan.plan import Plan
from utsuwa.spec import mount as engine
from utsuwa.spec.runtime import Device, Hook, Hooks, IDMapping, Mount, Root, Spec, User

APPLETS = ("sh", "id", "cat", "ls", "readlink", "stat", "touch", "sleep", "mkdir", "grep")
MOUNTS = tuple(mount for mount in spec().mounts or () if mount.type != "cgroup")
Run = Callable[..., str]

pytestmark = needs("root", "busybox")


@pytest.fixture
def bundle() -> Iterator[Path]:
    """A directory that every user may enter, with a root file system of busybox."""
    directory = Path(tempfile.mkdtemp(prefix="utsuwa-test-"))
    directory.chmod(0o755)
    programs = directory / "rootfs" / "bin"
    programs.mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, programs / "busybox")
    for applet in APPLETS:
        (programs / applet).symlink_to("busybox")
    for name in ("dev", "etc", "proc", "sys"):
        (directory / "rootfs" / name).mkdir()
    (directory / "rootfs" / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv/www:/bin/sh\n")
    yield directory
    shutil.rmtree(directory)


def carry_out(plan: Plan, maps: tuple[IDMapping, ...] = (), slots: dict[str, int] | None = None) -> int:
    """The pid of the process that the plan became."""
    child = spawn(plan, slots or {})
    while (report := child.next()) is not None:
        if report.kind == 2:
            if report.value == ops.ID_MAPS:
                idmaps.write(child.pid, maps, maps)
            child.reply()
    return child.pid


@pytest.fixture
def run(bundle: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a shell script by the plan of a changed configuration; its output, when it ended well."""

    def run_script(script: str, changed: dict[str, object] | None = None, **options: object) -> str:
        process = {"args": ("sh", "-c", script), "env": ("PATH=/bin",), **((changed or {}).pop("process", None) or {})}
        configured = spec(**{"mounts": MOUNTS, "process": process, **(changed or {})})
        usual = {"bundle": str(bundle), "root": str(bundle / "rootfs"), "await_start": False, "state_json": state_json}
        plan = create(configured, probe(), CreateOptions(**{**usual, **options}))
        pid = carry_out(plan, (configured.linux and configured.linux.uidMappings) or ())
        _, status = os.waitpid(pid, 0)
        output, complaints = capfd.readouterr()
        assert os.waitstatus_to_exitcode(status) == 0, complaints
        return output

    return run_script


WRITABLE = {"root": Root(path="rootfs", readonly=False)}


def test_identity_directory_and_home(run: Run) -> None:
    user = User(uid=33, gid=33, additionalGids=(4,), umask=0o27)
    changed = {"process": {"user": user, "cwd": "/work"}, **WRITABLE}
    output = run("id -u; id -G; umask; pwd; echo $HOME; readlink /proc/self/fd/4 || echo none", changed)
    assert output.split() == ["33", "33", "4", "0027", "/work", "/srv/www", "none"]


def test_user_by_name_and_a_reaper_as_the_first_process(run: Run) -> None:
    assert run("id -u; id -g; echo $HOME; echo $$", user="www", init=True).split() == ["33", "33", "/srv/www", "2"]


def test_read_only_root_with_devices_and_links(run: Run) -> None:
    output = run("touch /x 2>&1; stat -c '%t:%T %a' /dev/null /dev/tty; readlink /dev/ptmx; echo ok >> /dev/stdout")
    assert output.splitlines() == ["touch: /x: Read-only file system", "1:3 666", "5:0 666", "pts/ptmx", "ok"]


def test_configured_devices_with_their_mode_and_owner(run: Run) -> None:
    devices = (Device(type="c", path="/dev/null", major=1, minor=3, fileMode=0o600, uid=1, gid=2),)
    assert run("stat -c '%a %u:%g' /dev/null", {"linux": {"devices": devices}}) == "600 1:2\n"


def test_volumes_read_only_and_a_filled_tmpfs(run: Run, bundle: Path) -> None:
    (bundle / "data").mkdir()
    (bundle / "data" / "file").write_text("hello")
    mounts = (
        *MOUNTS,
        Mount(destination="/v", source="data", options=("rbind", "ro")),
        Mount(destination="/new/place", source="data/file", options=("bind",)),
        Mount(destination="/etc", type="tmpfs", source="tmpfs", options=("tmpcopyup", "ro")),
    )
    script = "cat /v/file /new/place; echo; grep -c www /etc/passwd; touch /v/x /etc/x 2>&1 | grep -c Read-only"
    assert run(script, {"mounts": mounts, **WRITABLE}).split() == ["hellohello", "1", "2"]
    assert sorted(path.name for path in (bundle / "data").iterdir()) == ["file"]


@needs("overlay")
def test_overlay_root_leaves_the_lower_layer_and_the_host_alone(run: Run, bundle: Path) -> None:
    for name in ("upper", "work", "top", "root"):
        (bundle / name).mkdir()
    (bundle / "top" / "mark").write_text("top")
    words = (f"lowerdir={bundle}/top:{bundle}/rootfs", f"upperdir={bundle}/upper", f"workdir={bundle}/work")
    root = engine.Mount(type="overlay", source="overlay", options=words)
    output = run("cat /mark; touch /mine", dict(WRITABLE), root=str(bundle / "root"), root_mounts=(root,))
    assert output == "top"
    assert (bundle / "upper" / "mine").exists() and not (bundle / "rootfs" / "mine").exists()
    assert list((bundle / "root").iterdir()) == [], "the overlay was never seen on the host"


@pytest.mark.parametrize("maps", [MAPPED, (IDMapping(containerID=0, hostID=0, size=1),)], ids=["range", "one id"])
def test_user_namespace_with_bound_devices(run: Run, maps: tuple[IDMapping, ...]) -> None:
    linux = {"namespaces": with_namespaces(spec(), user=""), "uidMappings": maps, "gidMappings": maps}
    output = run("cat /proc/self/uid_map; stat -c %t:%T /dev/null; touch /dev/shm/x && ls /dev/shm", {"linux": linux})
    assert output.split() == ["0", str(maps[0].hostID), str(maps[0].size), "1:3", "x"]


def test_hooks_run_in_the_containers_namespaces_with_the_state(run: Run, bundle: Path) -> None:
    hooks = Hooks(
        createContainer=(Hook(path="/bin/sh", args=("sh", "-c", "cat; echo; pwd; readlink /proc/self/ns/pid")),),
        startContainer=(Hook(path="/bin/sh", args=("sh", "-c", "cat; echo; id -u; echo $A")),),
    )
    changed = {"hooks": hooks, "process": {"user": User(uid=33, gid=33), "env": ("PATH=/bin", "A=1")}}
    lines = run("readlink /proc/self/ns/pid", changed).splitlines()
    assert lines[0] == '{"ociVersion":"1.3.0","id":"web","status":"created","pid":1,"bundle":"/bundles/web"}'
    assert lines[1] == str(bundle / "rootfs")
    assert lines[3:6] == [lines[0], "33", "1"]
    assert lines[2] == lines[6], "one pid namespace"


@pytest.mark.parametrize(
    ("propagation", "options"),
    [("shared", {}), ("private", {}), ("rslave", {}), ("shared", {"no_pivot": True}), ("rslave", {"no_pivot": True})],
)
def test_root_propagation(run: Run, propagation: str, options: dict[str, bool]) -> None:
    line = run("grep ' / / \\| /rootfs / ' /proc/self/mountinfo || cat /proc/self/mountinfo", {
        "linux": {"rootfsPropagation": propagation}}, **options).splitlines()[0]  # fmt: skip
    assert ("shared:" in line) == (propagation == "shared")


def test_the_hosts_mount_namespace(run: Run) -> None:
    linux = {"namespaces": with_namespaces(spec(), "mount"), "maskedPaths": (), "readonlyPaths": ()}
    assert run("ls /; ls /dev", {"linux": linux, **WRITABLE}).split() == ["bin", "dev", "etc", "proc", "sys"]


def test_sysctls_of_the_new_network_namespace(run: Run) -> None:
    linux = {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/lo/forwarding": "0"}}
    output = run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/forwarding", {"linux": linux})
    assert output.split() == ["1", "0"]


def test_exec_joins_a_running_container(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base: Spec = spec(mounts=MOUNTS, process={"args": ("sleep", "1000"), "env": ("PATH=/bin",)})
    usual = {"bundle": str(bundle), "root": str(bundle / "rootfs"), "await_start": False}
    pid = carry_out(create(base, probe(), CreateOptions(**usual)))
    pidfd = os.pidfd_open(pid)
    try:
        assert base.process
        what = base.process.replace(args=("sh", "-c", "echo $$; cat /proc/1/cmdline; pwd; ls /"), cwd="/etc")
        status = os.waitpid(carry_out(execute(what, base, probe(), ExecOptions()), slots={ops.PIDFD: pidfd}), 0)[1]
        own, first, *rest = capfd.readouterr().out.replace("\0", " ").replace("/etc\n", "\n/etc\n").splitlines()
        assert status == 0 and int(own) > 1 and first == "sleep 1000 "
        assert rest == ["/etc", "bin", "dev", "etc", "proc", "sys"]
    finally:
        os.close(pidfd)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
