"""Symbolic links of the image, where a runtime makes, mounts or removes something as the host's root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.contract.test_oci_terminal import Receiver
from tests.integration.init.conftest import PROC, Runner, prelude, run, shell  # noqa: F401  # run is a fixture
from tests.needs import needs
from tests.security.attack import Decoy, attacks
from utsuwa.init.failure import OpFailed
from utsuwa.plan import ops

pytestmark = needs("root", "busybox")


def _without(bundle: Bundle, *destinations: str) -> Bundle:
    """Leave mounts out of the configuration."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] not in destinations]
    return bundle


def _link(path: Path, target: str) -> None:
    """Put a symbolic link in the place of whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.symlink_to(target)


def _bind(bundle: Bundle, source: Path, destination: str, *options: str) -> None:
    bundle.config["mounts"].append(
        {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", *options]}
    )


@attacks("runc", "crun")
@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_dev_is_a_link(oci: Runtime, bundle: Bundle, decoy: Decoy, safe: bool, form: str) -> None:
    """CVE-2026-41579: the image's /dev is a link, through which ptmx is removed and links are made on the host.

    Proven: runc 1.1.5 and crun 1.8.1 change the decoy.
    """
    target = str(decoy.path) if form == "absolute" else "../" * 40 + str(decoy.path)[1:]
    _link(bundle.rootfs / "dev", target)
    oci.run(_without(bundle, "/dev", "/dev/pts"))
    assert decoy.touched is not safe


@attacks("crun")
@pytest.mark.parametrize("name", ["console", "new"])
@pytest.mark.parametrize("readonly", [False, True])
def test_console_is_a_link(
    oci: Runtime, bundle: Bundle, decoy: Decoy, tmp_path: Path, safe: bool, name: str, readonly: bool
) -> None:
    """CVE-2026-88264: /dev/console of the image is a link, and a file is made, or a terminal bound, where it leads.

    Proven: crun 1.8.1 makes the decoy's file `new` (one that exists is only mounted over, which its own mount namespace
    hides).
    """
    if not safe and name == "console":
        pytest.skip("the old runtime leaves no trace of this variant")
    _without(bundle, "/dev", "/dev/pts")
    bundle.config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts"})
    bundle.config["root"]["readonly"] = readonly
    bundle.process["terminal"] = True
    _link(bundle.rootfs / "dev/console", str(decoy.path / name))
    receiver = Receiver(tmp_path / "console.sock")
    try:
        oci("create", "--bundle", str(bundle.write()), "--console-socket", str(receiver.path), oci.id)
    finally:
        receiver.close()
    assert decoy.touched is not safe


@attacks("runc", "crun")
@pytest.mark.parametrize("uid", [0, 1000])
def test_null_is_a_link(oci: Runtime, bundle: Bundle, decoy: Decoy, safe: bool, uid: int) -> None:
    """CVE-2026-88265: standard input is reopened through the container's /dev/null, a link to a file of the host, whose
    owner is then changed.

    Proven: runc 1.1.5 and crun 1.8.1 write the output of the container to the decoy, or change its owner.
    """
    _without(bundle, "/dev", "/dev/pts")
    _link(bundle.rootfs / "dev/null", "/host")
    _bind(bundle, decoy.path / "null", "/host", "rw")
    bundle.process["user"] = {"uid": uid, "gid": uid}
    done = oci.run(bundle.shell("cat; stat -L -c %t:%T /dev/fd/0"))
    assert decoy.touched is not safe
    if safe:
        assert "decoy" not in done.stdout
        assert done.returncode != 0 or done.stdout == "1:3\n"


@attacks("runc")
def test_masks_are_no_link_of_the_container(oci: Runtime, bundle: Bundle, safe: bool) -> None:
    """CVE-2025-31133 (1): masked files are bound from the container's /dev/null, a link to what then can be written.

    Proven: runc 1.1.5 shows the gadget in the place of the masked file.
    """
    (bundle.rootfs / "etc/gadget").write_text("gadget")
    _link(bundle.rootfs / "dev/null", "/etc/gadget")
    bundle.linux["maskedPaths"] = ["/proc/timer_list", "/proc/version"]
    oci.run(_without(bundle, "/dev", "/dev/pts").shell("cat /proc/version > /result"))
    result = bundle.rootfs / "result"  # standard output is the gadget, too, in the old one (CVE-2026-88265)
    assert (result.exists() and "gadget" in result.read_text()) is not safe


@attacks()
def test_masks_do_not_need_the_containers_null(oci: Runtime, bundle: Bundle, tmp_path: Path, safe: bool) -> None:
    """CVE-2025-31133 (2): without a /dev/null in the container, a missing source is taken for a missing path.

    Proven: the same bundle without the mask shows the file. (The old runtimes refuse such a bundle for other reasons.)
    """
    empty = tmp_path / "empty"
    empty.mkdir()
    _bind(_without(bundle, "/dev", "/dev/pts"), empty, "/dev", "rw")
    assert "Linux" in oci.inside(bundle, "cat /proc/version")
    bundle.linux["maskedPaths"] = ["/proc/version"]
    assert oci.inside(bundle, "cat /proc/version") == ""


@attacks()
@pytest.mark.parametrize("kind", ["tmpfs", "bind", "bind file"])
def test_destinations_stay_inside(oci: Runtime, bundle: Bundle, decoy: Decoy, safe: bool, kind: str) -> None:
    """CVE-2019-18837, CVE-2021-30465 without a race: a component of a mount's destination is a link to the host.

    Proven: the same names made by hand through the link do change the decoy.
    """
    (bundle.rootfs / "volume").symlink_to(decoy.path)
    (bundle.rootfs / "climbing").symlink_to("../" * 40 + str(decoy.path)[1:])
    for number, link in enumerate(("volume", "climbing")):
        if kind == "tmpfs":
            mount = {"type": "tmpfs", "source": "tmpfs"}
        else:
            mount = {"type": "bind", "source": str(bundle.path if kind == "bind" else bundle.path / "config.json")}
            mount |= {"options": ["bind"]}
        bundle.config["mounts"].append({"destination": f"/{link}/a{number}/b", **mount})
    assert oci.run(bundle.shell(f"test -e {decoy.path}/a0/b && test -e /volume/a1/b")).returncode == 0
    assert not decoy.touched
    (bundle.rootfs / "volume/a/b").mkdir(parents=True)
    assert decoy.touched


@attacks()
@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/evil/level1", "evil", "/nowhere", "/proc", "/sys"])
def test_kernel_file_systems_go_on_directories(
    oci: Runtime, bundle: Bundle, safe: bool, name: str, target: str
) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc or /sys is a link, and masks and writes go elsewhere.

    Proven by test_without_the_flag_proc_goes_where_the_link_leads, and by the same bundle without the link.
    """
    (bundle.rootfs / "evil/level1").mkdir(parents=True)
    assert oci.run(bundle).returncode == 0
    _link(bundle.rootfs / name, target)
    assert "must be mounted on ordinary directory" in oci.fails("run", "--bundle", str(bundle.write()), oci.id)


def test_without_the_flag_proc_goes_where_the_link_leads(run: Runner, bundle: Bundle) -> None:  # noqa: F811
    """The defence of CVE-2023-27561 switched off in a plan made by hand: the attack works then."""
    (bundle.rootfs / "evil").mkdir()
    _link(bundle.rootfs / "proc", "evil")
    unsafe = ops.Mount("proc", "proc", "/proc")
    assert run(*prelude(bundle.rootfs, unsafe), ops.Pivot(), shell("ls /evil/self/exe")) == "/evil/self/exe\n"
    with pytest.raises(OpFailed):
        run(*prelude(bundle.rootfs, PROC), ops.Pivot(), shell("true"))


@attacks("crun")
@pytest.mark.parametrize("destination", ["/proc", "/proc/self/attr", "/proc/sys", "/x/../proc", "//proc/", "/proc/1"])
def test_nothing_else_at_proc(oci: Runtime, bundle: Bundle, decoy: Decoy, safe: bool, destination: str) -> None:
    """CVE-2019-16884: a volume over /proc or a part of it feigns the files that a runtime writes its labels to.

    Proven: crun 1.8.1 mounts it (its own labels it writes before), and so do we at another place.
    """
    _bind(bundle, decoy.path, "/elsewhere", "ro")
    assert oci.run(bundle.shell("test -e /elsewhere/file")).returncode == 0
    _bind(bundle, decoy.path, destination, "ro")
    bundle.shell("test -e /proc/self/fd || test -e /proc/file || ! test -e /proc/sys/kernel")
    done = oci.run(bundle)
    assert not safe or (done.returncode == 1 and "proc" in done.stderr)
    assert safe or "proc" not in done.stderr


@attacks("crun")
@pytest.mark.parametrize("name", ["volume", "procession"])
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
@pytest.mark.parametrize("target", ["proc", "/proc/self", "../../proc/sys", "/also"])
def test_nothing_else_at_proc_by_way_of_a_link(
    oci: Runtime, bundle: Bundle, decoy: Decoy, safe: bool, name: str, kind: str, target: str
) -> None:
    """CVE-2019-16884 with the destination a link of the image, which a look at config.json does not show.

    Proven: crun 1.8.1 mounts it, and so did utsuwa until this test was written.
    """
    _link(bundle.rootfs / "also", "proc/sys")
    _link(bundle.rootfs / name, "tmp")
    if kind == "bind":
        _bind(bundle, decoy.path, f"/{name}", "ro")
    else:
        bundle.config["mounts"].append({"destination": f"/{name}", "type": "tmpfs", "source": "tmpfs"})
    assert oci.run(bundle).returncode == 0
    _link(bundle.rootfs / name, target)
    done = oci.run(bundle)
    assert (done.returncode == 0) is not safe
    assert not safe or f"/{name}" in done.stderr
