"""Roots, mounts, nodes, masks: what is attached where, and that no path of the container leads out of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.integration.init.conftest import DEV, NEW_MOUNTS, PROC, SLAVE, prelude, shell
from tests.needs import needs
from utsuwa.errors import InvalidArgument
from utsuwa.init.failure import NOT_THAT_DEVICE, OpFailed
from utsuwa.plan import ops

pytestmark = needs("root")

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
CHARACTER = 0o020000
SHARED, PRIVATE, RECURSIVE = 1 << 20, 1 << 18, 1 << 14


def mounts(text: str) -> dict[str, str]:
    """Mount point -> options, of what busybox mount prints."""
    lines = [line.split() for line in text.splitlines()]
    return {words[2]: words[5] for words in lines}


MOUNT = shell("/bin/busybox mount")


def test_root_is_pivoted_and_the_host_is_gone(run, root):
    before = Path("/proc/self/mountinfo").read_text()
    output = run(*prelude(root, PROC), ops.Pivot(), shell("echo /*; /bin/busybox cat /proc/self/mountinfo"))
    assert output.splitlines()[0] == "/bin /dev /etc /proc /sys /tmp"
    assert len(output.splitlines()) == 3
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.parametrize("propagation", [SHARED | RECURSIVE, PRIVATE | RECURSIVE, SLAVE])
def test_any_propagation_of_the_root_can_be_pivoted(run, root, propagation):
    before = Path("/proc/self/mountinfo").read_text()
    output = run(
        ops.Clone(NEW_MOUNTS),
        ops.RootPropagation(SLAVE),
        ops.RootPropagation(propagation),
        ops.RootBind(str(root)),
        PROC,
        ops.Pivot(),
        MOUNT,
    )
    assert set(mounts(output)) == {"/", "/proc"}
    assert Path("/proc/self/mountinfo").read_text() == before


def test_moved_root_hides_the_kernel_views_of_the_host(run, root):
    output = run(*prelude(root, PROC), ops.MoveRoot(), shell("echo /*; /bin/busybox mount; echo $$"))
    lines = output.splitlines()
    assert lines[0] == "/bin /dev /etc /proc /sys /tmp" and lines[-1] == "1"
    assert [line.split()[2] for line in lines if line.startswith("proc ")] == ["/proc"]


def test_chroot_without_a_mount_namespace(run, root):
    assert run(ops.Clone(0), ops.Chroot(str(root)), ops.Chdir("/"), shell("echo /*")).startswith("/bin /dev")


@needs("overlay")
@pytest.mark.parametrize("long", [False, True], ids=["fsconfig", "mount"])
def test_overlay_is_mounted_inside_only(run, root, tmp_path, long):
    top = tmp_path / ("x" * 250 if long else "top")
    for name in ("upper", "work", "at"):
        (tmp_path / name).mkdir()
    (top / ("y" * 20) / "etc").mkdir(parents=True)
    top = top / ("y" * 20)
    (top / "etc/passwd").write_text("from the top layer\n")
    overlay = ops.RootOverlay(
        str(tmp_path / "at"), (str(top), str(root)), str(tmp_path / "upper"), str(tmp_path / "work"), ()
    )
    script = "/bin/busybox cat /etc/passwd; echo new > /etc/new"
    steps = (ops.Clone(NEW_MOUNTS), ops.RootPropagation(SLAVE), overlay, PROC, ops.Pivot(), shell(script))
    assert run(*steps) == "from the top layer\n"
    assert (tmp_path / "upper/etc/new").read_text() == "new\n"
    assert not list((tmp_path / "at").iterdir()) and not (root / "etc/new").exists()


@needs("overlay")
def test_overlay_without_an_upper_layer_is_read_only(run, root, tmp_path):
    (tmp_path / "at").mkdir()
    (tmp_path / "empty").mkdir()
    overlay = ops.RootOverlay(str(tmp_path / "at"), (str(tmp_path / "empty"), str(root)))
    steps = (ops.Clone(NEW_MOUNTS), ops.RootPropagation(SLAVE), overlay, ops.Pivot())
    assert run(*steps, shell("echo x 2>/dev/null > /etc/x || echo refused")) == "refused\n"


def test_attributes_of_mounts_and_binds(run, root, tmp_path):
    (tmp_path / "data" / "below").mkdir(parents=True)
    (tmp_path / "file").write_text("content\n")
    output = run(
        *prelude(root, PROC),
        ops.Mount("tmpfs", "scratch", "/tmp", ("size=64k", "mode=1777"), NOSUID | NODEV),
        ops.Bind(str(tmp_path / "data"), "/srv/data", recursive=1, set=RDONLY, rec_set=NOEXEC),
        ops.Bind(str(tmp_path / "file"), "/srv/some/file", set=RDONLY),
        ops.Remount("/tmp", set=NOEXEC),
        ops.Remount("/", set=RDONLY),
        ops.Pivot(),
        shell("/bin/busybox mount; /bin/busybox cat /srv/some/file"),
    )
    *lines, content = output.splitlines()
    options = mounts("\n".join(lines))
    assert content == "content"
    assert options["/tmp"].startswith("(rw,nosuid,nodev,noexec,relatime,size=64k")
    assert options["/srv/data"].startswith("(ro,noexec,relatime")
    assert options["/srv/some/file"].startswith("(ro,relatime")
    assert options["/"].startswith("(ro,relatime")


def test_shared_volume_stays_shared(run, root, tmp_path):
    (tmp_path / "volume").mkdir()
    bind = ops.Bind(str(tmp_path / "volume"), "/volume", recursive=1, propagation=SHARED | RECURSIVE)
    output = run(*prelude(root, PROC, bind), ops.Pivot(), shell("/bin/busybox grep /volume /proc/self/mountinfo"))
    assert "shared:" in output


def test_unknown_option_is_named(run, root):
    with pytest.raises(InvalidArgument, match='option "nonsense"'):
        run(*prelude(root, ops.Mount("tmpfs", "tmpfs", "/tmp", ("size=1k", "nonsense"))), ops.Pivot(), MOUNT)


def test_tmpfs_takes_over_mode_and_content(run, root):
    (root / "tmp/sub").mkdir()
    (root / "tmp/sub/file").write_text("copied\n")
    os.chown(root / "tmp/sub/file", 7, 8)
    (root / "tmp/sub/file").chmod(0o4750)
    (root / "tmp/link").symlink_to("sub/file")
    (root / "tmp").chmod(0o2751)
    copy = ops.Mount("tmpfs", "tmpfs", "/tmp", flags=ops.COPY_UP | ops.INHERIT_MODE)
    script = "/bin/busybox stat -c %a:%u:%g /tmp /tmp/sub/file; /bin/busybox cat /tmp/link; echo x > /tmp/new"
    assert run(*prelude(root, copy), ops.Pivot(), shell(script)) == "2751:0:0\n4750:7:8\ncopied\n"
    assert not (root / "tmp/new").exists()


def test_what_is_copied_up_keeps_attributes_times_and_holes(run, root):
    sparse = root / "tmp/sparse"
    with open(sparse, "wb") as file:
        file.write(b"begin")
        file.seek(1 << 28)
        file.write(b"middle")
        file.truncate(1 << 29)
    (root / "tmp/tool").write_text("x")
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # VFS_CAP_REVISION_2, CAP_NET_BIND_SERVICE
    os.setxattr(root / "tmp/tool", "security.capability", capability)
    os.setxattr(root / "tmp", "trusted.mark", b"of the directory")
    for name in ("tmp/tool", "tmp/sparse"):
        os.utime(root / name, ns=(10**18 + 5, 10**18 + 7))
    copy = ops.Mount("tmpfs", "tmpfs", "/tmp", ("size=64m",), flags=ops.COPY_UP | ops.INHERIT_MODE)
    child = run.start(*prelude(root, copy), ops.Pivot(), shell("/bin/busybox sleep 1000"))
    while child.next() is not None:
        pass
    tree = f"/proc/{child.pid}/root/tmp"
    found = os.stat(f"{tree}/sparse")
    assert (found.st_size, found.st_mtime_ns) == (1 << 29, 10**18 + 7) and found.st_blocks < 100
    with open(f"{tree}/sparse", "rb") as file:
        assert file.read(6) == b"begin\0"
        file.seek((1 << 28) - 1)
        assert file.read(8) == b"\0middle\0"
    assert os.getxattr(f"{tree}/tool", "security.capability") == capability
    assert os.getxattr(tree, "trusted.mark") == b"of the directory"
    assert os.stat(f"{tree}/tool").st_atime_ns == 10**18 + 5


@pytest.mark.parametrize("target", ["/etc", "nowhere"])
def test_proc_must_be_an_ordinary_directory(run, root, target):
    (root / "proc").rmdir()
    (root / "proc").symlink_to(target)
    with pytest.raises(InvalidArgument, match="must be mounted on ordinary directory"):
        run(*prelude(root, PROC), ops.Pivot(), MOUNT)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    "op",
    [
        ops.Mkdir("/dev/inside", 0o755),
        ops.Symlink("/proc/kcore", "/dev/core"),
        ops.Symlink("pts/ptmx", "/dev/ptmx", replace=1),
        ops.Mknod("/dev/null", CHARACTER | 0o666, 1, 3, 0, 0),
        ops.Mount("tmpfs", "tmpfs", "/dev/shm"),
        ops.Bind("/etc/hostname", "/dev/file"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ops.Op) else str(value),
)
def test_linked_dev_leads_nowhere_outside(run, root, tmp_path, relative, op):
    """CVE-2026-41579, CVE-2024-45310: an image's /dev may point to any directory of the host."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "ptmx").write_text("host")
    (root / "dev").rmdir()
    (root / "dev").symlink_to("../../../../.." + str(decoy) if relative else decoy)
    run(*prelude(root, op), ops.Pivot(), shell("exit 0"))
    assert [entry.name for entry in decoy.iterdir()] == ["ptmx"]
    assert (decoy / "ptmx").read_text() == "host" and os.listdir(root / str(decoy)[1:])


def test_dangling_links_are_made_inside(run, root, tmp_path):
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub.conf")
    (tmp_path / "file").write_text("nameserver\n")
    bind = ops.Bind(str(tmp_path / "file"), "/etc/resolv.conf")
    script = "/bin/busybox cat /run/systemd/resolve/stub.conf; /bin/busybox ls /run"
    assert run(*prelude(root, ops.Mkdir("/var/run/lock", 0o755), bind), ops.Pivot(), shell(script)) == (
        "nameserver\nlock\nsystemd\n"
    )


def test_a_way_is_looked_up_again_when_something_has_changed_it(run, root):
    """Directories stay open from one op to the next; what is done by others in between counts all the same."""
    (root / "way").symlink_to("dev")
    output = run(
        *prelude(root, PROC, DEV, ops.Symlink("x", "/way/below"), ops.Symlink("x", "/way/below2"), DEV),
        ops.Symlink("x", "/way/above"),
        ops.Mount("tmpfs", "tmpfs", "/way/new"),
        ops.Mount("tmpfs", "tmpfs", "/way/new/er"),
        ops.Symlink("x", "/way/new/er/one"),
        ops.Mount("tmpfs", "tmpfs", "/way/new/er"),
        ops.Symlink("x", "/way/new/er/two"),
        ops.Symlink("tmp", "/way", replace=True),
        ops.Symlink("x", "/way/aside"),
        ops.Pivot(),
        shell("echo /dev/* /dev/new/*/* /tmp/*"),
    )
    assert output == "/dev/above /dev/new /dev/new/er/two /tmp/aside\n"
    assert sorted(entry.name for entry in (root / "tmp").iterdir()) == ["aside"]
    assert not list((root / "dev").iterdir())


def test_link_loop_is_an_error(run, root):
    (root / "loop").symlink_to("loop")
    with pytest.raises(OpFailed):
        run(*prelude(root, ops.Mkdir("/loop/x", 0o755)), ops.Pivot(), MOUNT)


def test_nodes(run, root):
    script = "/bin/busybox stat -c '%t:%T %a %u:%g %F' /dev/null /dev/fifo"
    nodes = (
        ops.Mknod("/dev/null", CHARACTER | 0o640, 1, 3, 4, 5),
        ops.Mknod("/dev/null", CHARACTER | 0o606, 1, 3, 6, 7),
        ops.Mknod("/dev/fifo", 0o010000 | 0o600, 0, 0, 0, 0),
    )
    assert run(*prelude(root, DEV, *nodes), ops.Pivot(), shell(script)) == (
        "1:3 606 6:7 character special file\n0:0 600 0:0 fifo\n"
    )


@pytest.mark.parametrize("kind", ["file", "link", "other"])
def test_a_node_that_is_something_else_is_an_error(run, root, tmp_path, kind):
    path = root / "dev/null"
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        path.symlink_to("/dev/null")
    else:
        os.mknod(path, CHARACTER | 0o600, os.makedev(1, 5))
    with pytest.raises(OpFailed) as raised:
        run(*prelude(root, ops.Mknod("/dev/null", CHARACTER | 0o666, 1, 3, 0, 0)), ops.Pivot(), MOUNT)
    assert raised.value.detail == NOT_THAT_DEVICE


def test_masked_and_read_only_paths(run, root):
    for name in ("secret", "other"):
        (root / "etc" / name).write_text("secret\n")
    (root / "srv/full/below").mkdir(parents=True)
    (root / "var/below").mkdir(parents=True)
    # a container's own null device is never asked (CVE-2025-31133)
    (root / "dev/null").symlink_to("/etc/passwd")
    script = (
        "/bin/busybox cat /etc/secret /etc/other; echo x > /etc/secret; /bin/busybox stat -c %t:%T /etc/other; "
        "/bin/busybox chmod 0 /etc/secret 2> /tmp/e || echo kept; echo /srv/full/* /srv/*; "
        "(echo x > /srv/full/x) 2> /tmp/e || echo empty; (echo x > /var/below/x) 2> /tmp/e || echo fixed"
    )
    hidden = [ops.Mask(path) for path in ("/etc/secret", "/etc/other", "/srv/full", "/srv/none", "/etc/passwd/none")]
    before = os.stat("/dev/null")
    output = run(*prelude(root), ops.Pivot(), *hidden, ops.Readonly("/var"), ops.Readonly("/none"), shell(script))
    assert output == "1:3\nkept\n/srv/full/* /srv/full\nempty\nfixed\n"
    assert (root / "etc/secret").read_text() == "secret\n"
    assert os.stat("/dev/null").st_mode == before.st_mode


def test_masks_before_the_pivot_work_as_well(run, root):
    (root / "etc/secret").write_text("secret\n")
    assert run(*prelude(root, ops.Mask("/etc/secret")), ops.Pivot(), shell("/bin/busybox cat /etc/secret")) == ""
