"""Who a process is, where the image, or a container that runs already, would like it to be somebody else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.integration.init.conftest import DEV, PROC, Runner, prelude, root, run, shell  # noqa: F401  # fixtures
from tests.needs import needs
from utsuwa.errors import Error
from utsuwa.init.failure import OpFailed
from utsuwa.plan import ops

pytestmark = needs("root", "busybox")

SETS = "grep -E 'Cap(Inh|Amb|Prm)|Groups|Uid' /proc/self/status"


def _status(text: str) -> dict[str, list[str]]:
    return {line.split(":")[0]: line.split(":")[1].split() for line in text.splitlines()}


@pytest.mark.parametrize("uid", [0, 1000])
def test_nothing_inheritable_on_exec(oci: Runtime, bundle: Bundle, uid: int) -> None:
    """CVE-2022-29162, CVE-2022-24769, CVE-2022-27650, CVE-2016-8867: `exec --cap` and defaults fill the inheritable or
    the ambient set.

    Proven: a configuration that asks for inheritable and ambient sets has them.
    """
    bundle.process["user"] = {"uid": uid, "gid": uid}
    oci.running(bundle.sleep())
    for words in ((), ("--cap", "CAP_NET_RAW"), ("--cap", "CAP_SYS_ADMIN", "--cap", "CAP_CHOWN")):
        sets = _status(oci.ok("exec", *words, oci.id, "sh", "-c", SETS))
        assert int(sets["CapInh"][0], 16) == 0 and int(sets["CapAmb"][0], 16) == 0, words
    oci.ok("delete", "--force", oci.id)
    for kind in ("inheritable", "ambient"):
        bundle.process["capabilities"][kind] = ["CAP_KILL"]
    sets = _status(oci.inside(bundle, SETS))
    assert int(sets["CapInh"][0], 16) == int(sets["CapAmb"][0], 16) == 1 << 5


@pytest.mark.parametrize(
    "text", ["abc", "-1", "+1", "1x", " 1", "1 ", "4294967295", "4294967296", "1:", "1:x", ":1", "9" * 5000, "\u0661"]
)
def test_users_of_exec_are_numbers(oci: Runtime, bundle: Bundle, text: str) -> None:
    """CVE-2026-30892: `exec -u 1` read as user 0, and whatever else a lenient parser makes of an id.

    Proven by test_users_of_exec_arrive.
    """
    oci.running(bundle.sleep())
    said = oci.fails("exec", "-u", text, oci.id, "id", "-u", code=255)
    assert "Traceback" not in said and "bad " in said


@pytest.mark.parametrize(("text", "ids"), [("1", "1 0"), ("1:1", "1 1"), ("01", "1 0"), ("0", "0 0"), ("7:0", "7 0")])
def test_users_of_exec_arrive(oci: Runtime, bundle: Bundle, text: str, ids: str) -> None:
    """CVE-2026-30892: the user of exec is the one that was asked for."""
    oci.running(bundle.sleep())
    assert oci.ok("exec", "-u", text, oci.id, "sh", "-c", "echo $(id -u) $(id -g)") == f"{ids}\n"


def test_the_callers_groups_stay_outside(oci: Runtime, bundle: Bundle) -> None:
    """CVE-2014-8989 and kin: supplementary groups of the caller would open files of the host to the container.

    Proven: the annotation that asks for them keeps them.
    """
    oci.argv = ["setpriv", "--groups", "0,4,27", *oci.argv]
    assert _status(oci.inside(bundle, SETS))["Groups"] == []
    bundle.config["annotations"] = {"run.oci.keep_original_groups": "1"}
    assert {"4", "27"} <= set(_status(oci.inside(bundle, SETS))["Groups"])


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_hosts_null_keeps_its_owner(oci: Runtime, bundle: Bundle, tmp_path: Path, uid: int) -> None:
    """runc 1.1.1: /dev/null of the host, given as standard input or error, changes its owner (the fixture looks at it).

    Proven: a pipe given in the same way does change its owner, for the user to open it again.
    """
    bundle.process["user"] = {"uid": uid, "gid": uid}
    host = tmp_path / "file"
    host.write_text("")
    with open("/dev/null", "r+b", buffering=0) as null, open(host) as file:
        done = oci.run(bundle.shell("stat -L -c %u /proc/self/fd/1; echo x > /proc/self/fd/1"), stdin=file)
        assert done.stdout.split() == [str(uid), "x"]
        oci.clean()
        oci.run(bundle.shell("true"), stdin=null)
    assert host.stat().st_uid == 0


# --- files of the container that the executor reads -----------------------------------------------------------------


def _regular(etc: Path) -> None:
    (etc / "passwd").write_text("joe:x:77:78::/home/joe:\n")


def _fifo(etc: Path) -> None:
    os.mkfifo(etc / "passwd")


def _device(etc: Path) -> None:
    os.mknod(etc / "passwd", 0o20666, os.makedev(1, 5))


def _directory(etc: Path) -> None:
    (etc / "passwd").mkdir()


def _socket(etc: Path) -> None:
    os.mknod(etc / "passwd", 0o140666)


def _huge(etc: Path) -> None:
    with open(etc / "passwd", "wb") as file:
        file.write(b"joe:x:77:78::/home/joe:\n")
        file.truncate(1 << 40)


def _loop(etc: Path) -> None:
    (etc / "passwd").symlink_to("passwd")


def _outside(etc: Path) -> None:
    outside = etc.parent.parent / "outside"
    outside.write_text("joe:x:77:78::/home/joe:\n")
    (etc / "passwd").symlink_to("../" * 30 + str(outside)[1:])


def _descriptor(etc: Path) -> None:
    (etc / "passwd").symlink_to("/proc/self/fd/0")


def _kernel(etc: Path) -> None:
    (etc / "passwd").symlink_to("/proc/1/comm")


HOSTILE = [_fifo, _device, _directory, _socket, _huge, _loop, _outside, _descriptor]


@pytest.mark.parametrize("make", HOSTILE)
def test_find_user_is_not_led_astray(run: Runner, root: Path, make: Callable[[Path], None]) -> None:  # noqa: F811
    """Looking up a user must not wait, read outside of the root, or open a device. Proven: a regular file is read."""
    passwd = root / "etc/passwd"
    passwd.unlink()
    _regular(root / "etc")
    act = (*prelude(root, PROC, DEV), ops.Pivot(), ops.FindUser("joe"), ops.SetIdentity(0, 0, (), 18), shell("id -u"))
    assert run(*act) == "77\n"
    passwd.unlink()
    make(root / "etc")
    with pytest.raises(OpFailed) as failure:
        run(*act)
    assert isinstance(failure.value.op, ops.FindUser)


@pytest.mark.parametrize("make", [*HOSTILE, _kernel])
def test_home_is_not_led_astray(oci: Runtime, bundle: Bundle, make: Callable[[Path], None]) -> None:
    """The same for HOME of a process that joins a container whose files have changed since: it is not worth an error.

    Nor is what the kernel makes up a file of users: reading it as root may have an effect, as /proc/kmsg hands every
    message out once (the name of process 1 stands for it). Proven: the home of a regular file is found; and
    /proc/1/comm was taken for one until this test was written.
    """
    oci.running(
        bundle.shell("trap 'exit 3' TERM; printf root:x:0:0::/f: > /proc/1/comm; echo ready; sleep 1000 & wait")
    )
    assert oci.ok("exec", oci.id, "sh", "-c", "echo $HOME") == "/root\n"
    (bundle.rootfs / "etc/passwd").unlink()
    make(bundle.rootfs / "etc")
    assert oci.ok("exec", oci.id, "sh", "-c", "echo $HOME") == "/\n"


def test_a_home_too_long_for_execve(oci: Runtime, bundle: Bundle) -> None:
    """A container must not keep others out by a home directory that execve(2) refuses (MAX_ARG_STRLEN).

    Proven: it was so in utsuwa until this test was written.
    """
    oci.running(bundle.sleep())
    (bundle.rootfs / "etc/passwd").write_text(f"root:x:0:0::/{'x' * 200_000}:/bin/sh\n")
    assert oci.ok("exec", oci.id, "sh", "-c", "echo $HOME") == "/\n"


@pytest.mark.parametrize("user", ["1000", "0001000", "00000000001000", "4294967295", "4294967296", "99999999999"])
def test_a_number_is_never_a_name(run: Runner, root: Path, user: str) -> None:  # noqa: F811
    """CVE-2016-3697: the image calls root `1000`, and whoever asks for that user id gets root.

    Proven: a name that is no number is looked up, and is root.
    """
    names = ("1000", "0001000", "00000000001000", "4294967295", "4294967296", "99999999999", "toor")
    (root / "etc/passwd").write_text("".join(f"{name}:x:0:0::/:\n" for name in names))
    end = (ops.SetIdentity(9, 9, (), 18), shell("id -u"))
    assert run(*prelude(root, PROC), ops.Pivot(), ops.FindUser("toor"), *end) == "0\n"
    try:
        found = run(*prelude(root, PROC), ops.Pivot(), ops.FindUser(user), *end)
    except Error:
        found = ""
    assert found == ("1000\n" if int(user) == 1000 and len(user) <= 10 else "")
