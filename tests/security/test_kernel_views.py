"""procfs, devpts and cgroups that are not what they seem to be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.contract.test_oci_terminal import Receiver
from tests.golden.hosts import HYBRID, V1, V2
from tests.integration.init.conftest import NEW_NAMESPACES, PROC, Runner, prelude, root, run, shell  # noqa: F401
from tests.needs import needs
from tests.security.attack import Decoy
from utsuwa.cgroup.filesystem import open_manager
from utsuwa.errors import InvalidArgument
from utsuwa.linux.host import Host
from utsuwa.plan import ops

pytestmark = needs("root", "busybox")

NEW_NETWORK = 0x40000000
KEY = "net/ipv4/ip_forward"
MINE = "/bin/busybox mkdir /own && /bin/busybox mount -t proc p /own && /bin/busybox cat /own/sys/" + KEY


@pytest.mark.parametrize("where", [f"/proc/sys/{KEY}", "/proc/sys/net/ipv4", "/proc/sys", "/proc"])
def test_settings_reach_the_kernel(run: Runner, root: Path, decoy: Decoy, where: str) -> None:  # noqa: F811
    """CVE-2025-52881, CVE-2019-19921: something mounted over a part of /proc catches what is written to a setting.

    Such a mount is refused when it is in config.json, so a plan made by hand has it, as a race would.
    Proven: the same write by the path that everybody uses ends in the decoy.
    """
    source = decoy.path
    if where.endswith("ip_forward"):
        source = decoy.path / "file"
    else:
        target = decoy.path / f"/proc/sys/{KEY}".removeprefix(where)[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("decoy")
    decoy.remember()
    start = prelude(root, PROC, ops.Bind(str(source), where), flags=NEW_NAMESPACES | NEW_NETWORK)
    assert run(*start, ops.Pivot(), ops.Sysctl(KEY, "1"), shell(MINE)) == "1\n"
    assert not decoy.touched
    run(*start, ops.Pivot(), shell(f"echo 1 > /proc/sys/{KEY}"))
    assert decoy.touched


@pytest.mark.parametrize(
    "key", ["net/../kernel/x", "net/./x", "../sysrq-trigger", "net//x", "kernel.core_pattern", "net"]
)
def test_settings_of_the_host_are_refused(oci: Runtime, bundle: Bundle, key: str) -> None:
    """CVE-2025-52881 and kin: a setting that no namespace confines. Proven: one that is confined is written."""
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert oci.inside(bundle, f"cat /proc/sys/{KEY}") == "1\n"
    bundle.linux["sysctl"] = {key: "1"}
    assert "linux.sysctl" in oci.fails("run", "--bundle", str(bundle.write()), oci.id)


@pytest.mark.parametrize("entry", ["ptmx link", "ptmx file", "ptmx fifo", "numbers"])
@pytest.mark.parametrize("place", ["bind", "root"])
def test_terminals_are_of_the_kernels_devpts(
    oci: Runtime, bundle: Bundle, decoy: Decoy, tmp_path: Path, entry: str, place: str
) -> None:
    """CVE-2025-52565: /dev/pts is filled with links, which are bound on /dev/console in the place of the terminal.

    Proven: with the devpts left in the configuration, the same container gets its terminal.
    """
    fake = tmp_path / "pts" if place == "bind" else bundle.rootfs / "dev/pts"
    fake.mkdir()
    if entry == "ptmx link":
        (fake / "ptmx").symlink_to(decoy.path / "ptmx")
    elif entry == "ptmx fifo":
        os.mkfifo(fake / "ptmx")
    else:
        (fake / "ptmx").write_text("")
    for number in range(10):
        (fake / str(number)).symlink_to(decoy.path / "file")
    bundle.process["terminal"] = True
    genuine = bundle.config["mounts"]
    dropped = ("/dev/pts",) if place == "bind" else ("/dev/pts", "/dev")
    bundle.config["mounts"] = [mount for mount in genuine if mount["destination"] not in dropped]
    if place == "bind":
        bundle.config["mounts"].append(
            {"destination": "/dev/pts", "type": "bind", "source": str(fake), "options": ["bind", "rw"]}
        )
    assert _create(oci, bundle, tmp_path / "1.sock") == 1
    assert not decoy.touched and sorted(os.listdir(fake)) == sorted(["ptmx", *map(str, range(10))])
    bundle.config["mounts"] = genuine
    assert _create(oci, bundle, tmp_path / "2.sock") == 0


def _create(oci: Runtime, bundle: Bundle, console: Path) -> int:
    receiver = Receiver(console)
    try:
        done = oci("create", "--bundle", str(bundle.write()), "--console-socket", str(console), oci.id)
        return done.returncode
    finally:
        receiver.close()


@pytest.mark.parametrize("over", ["mkfifo /f", "touch /f", "mknod /f c 1 5", "mknod /f c 1 3", ""])
def test_a_terminal_for_exec_where_ptmx_is_covered(oci: Runtime, bundle: Bundle, tmp_path: Path, over: str) -> None:
    """CVE-2025-52565 by a container that may mount: something else lies over /dev/pts/ptmx when `exec -t` opens it.

    Proven: without the cover (the last case) exec has its terminal.
    """
    powers = ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_DAC_OVERRIDE"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), powers)
    bundle.linux["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    cover = f"{over} && mount --bind /f /dev/pts/ptmx || exit 1; " if over else ""
    oci.running(bundle.shell(f"trap 'exit 3' TERM; {cover}echo ready; sleep 1000 & wait"))
    receiver = Receiver(tmp_path / "console.sock")
    try:
        done = oci("exec", "-t", "-d", "--console-socket", str(receiver.path), oci.id, "true")
    finally:
        receiver.close()
    assert (done.returncode == 0) is (not over), done.stderr


@needs("cgroup1")
def test_cgroups_of_a_user_namespace(oci: Runtime, bundle: Bundle) -> None:
    """CVE-2023-25809: without a cgroup namespace, /sys/fs/cgroup of a user namespace is the host's, and writable.

    Proven: the container's own cgroups are there to be looked at, and writable they are for the host's root.
    """
    bundle.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
    bundle.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})
    for parent in (bundle.path, *bundle.path.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(0o755)
    out = oci.inside(
        bundle,
        "cd /sys/fs/cgroup; for d in *; do cat $d/cgroup.procs | wc -l; done;"
        "for d in *; do mkdir $d/x; echo 1 > $d/cgroup.procs; echo 1 > $d/notify_on_release; done 2>/dev/null;"
        "ls -d */x; cat */notify_on_release",
    )
    lines = out.split()
    assert lines and "x" not in out
    counts, flags = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert all(int(count) < 5 for count in counts), "more processes than the container has: the host's cgroup"
    assert "1" not in flags


@pytest.mark.parametrize(
    "key", ["uidMappings", "namespace path", "hostname", "args", "env", "cwd", "destination", "source"]
)
def test_lengths_and_nul(oci: Runtime, bundle: Bundle, tmp_path: Path, key: str) -> None:
    """CVE-2021-43784: lengths that overflow a field on the way to the child, and NUL characters that end one early.

    Proven: the same property with an ordinary value is taken (every other test does so).
    """
    long = "x" * 70_000
    for text in (long, "/a\0b", f"/{long}"):
        config = bundle.config
        process, linux = config["process"], config["linux"]
        backup = (dict(process), dict(linux), list(config["mounts"]), config.get("hostname"))
        if key == "uidMappings":
            linux["namespaces"] = [*linux["namespaces"], {"type": "user"}]
            linux["uidMappings"] = linux["gidMappings"] = [
                {"containerID": n * 2, "hostID": 100000 + n * 2, "size": 1} for n in range(20_000)
            ]
        elif key == "namespace path":
            linux["namespaces"] = [{"type": "mount"}, {"type": "network", "path": text}]
        elif key == "hostname":
            config["hostname"] = text
        elif key in ("destination", "source"):
            mount = {"destination": "/tmp", "type": "bind", "source": str(tmp_path), "options": ["bind"], key: text}
            config["mounts"] = [*config["mounts"], mount]
        else:
            process[key] = text if key == "cwd" else ["sh", text] if key == "args" else [f"A={text}"]
        done = oci.run(bundle)
        assert "Traceback" not in done.stderr
        allowed = key == "env" and text != "/a\0b"  # a variable of 70 000 bytes is one
        assert (done.returncode == 0) is allowed, (key, text[:9], done.stderr[:300])
        assert len(done.stderr) < 1 << 19
        oci.clean()
        config["process"], config["linux"], config["mounts"], config["hostname"] = backup


@pytest.mark.parametrize("size", ["../../x", "2MB/../x", "1", "", "02MB", "\u0662MB", "2mb", "2MB\0"])
def test_sizes_of_huge_pages_are_no_paths(oci: Runtime, bundle: Bundle, size: str) -> None:
    """runc #4103: `pageSize` becomes a part of the name of the cgroup file that is written.

    Proven by the message: it is the size that is refused, not something else.
    """
    bundle.linux["resources"]["hugepageLimits"] = [{"pageSize": size, "limit": 1}]
    assert "pageSize" in oci.fails("run", "--bundle", str(bundle.write()), oci.id)


@pytest.mark.parametrize("host", [V1, V2, HYBRID], ids=["v1", "v2", "hybrid"])
@pytest.mark.parametrize(
    "path", ["/../../x", "../../../x", "a/../../../../x", "/./x//../x", "..", "/", "a/..", "x\0", "x\ny"]
)
def test_cgroups_stay_in_their_hierarchy(host: Host, path: str) -> None:
    """crun 1.28: `..` in cgroupsPath. Proven: what is left of the path is below the hierarchy, or it is refused."""
    try:
        joined = open_manager(host, path, "id").join()
    except InvalidArgument as error:
        assert "cgroupsPath" in str(error) and "x/" not in path
        return
    for directory in (*joined.v1, *([joined.unified] if joined.unified else [])):
        assert directory.startswith("/sys/fs/cgroup/") and directory.endswith("/x") and ".." not in directory


def test_a_start_socket_is_for_root_alone(oci: Runtime, bundle: Bundle) -> None:
    """Whoever connects to a created container's socket starts it, and hears what fails. Proven: root does start it."""
    oci.create(bundle.shell("true"))
    path = oci.root / oci.id / "start.sock"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(oci.root.stat().st_mode & 0o777) == "0o700"
    refused = os.fork()
    if not refused:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        code = 1
        try:
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(str(path))
        except OSError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(refused, 0)[1] == 0
    assert oci.status() == "created"
    oci.ok("start", oci.id)


@pytest.mark.parametrize("path", ["..", "../other", "/../..", "a/../../other", "freezer:../other"])
def test_cgroups_of_exec_stay_below_the_containers(oci: Runtime, bundle: Bundle, path: str) -> None:
    """crun 1.28 and runc: `..` in `exec --cgroup`, a way into the cgroup of another container or the host's.

    Proven: the container's own cgroup, as ".", is joined.
    """
    oci.running(bundle.sleep())
    assert oci.ok("exec", "--cgroup", ".", oci.id, "echo", "joined") == "joined\n"
    assert "bad sub cgroup path" in oci.fails("exec", "--cgroup", path, oci.id, "true", code=255)
