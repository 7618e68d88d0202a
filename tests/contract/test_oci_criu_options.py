"""Every option of checkpoint and restore arrives at CRIU: a played one writes down what it is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import SOURCE, Bundle, Runtime
from tests.contract.played_criu import install
from utsuwa.criu.messages import DUMP, PRE_DUMP, RESTORE, pair
from utsuwa.criu.wire import Fields, data, fields, number

BOTH = (
    *("--tcp-established", "--ext-unix-sk", "--shell-job", "--lazy-pages", "--file-locks", "--auto-dedup"),
    *("--empty-ns", "network"),
)
CHECKPOINT = (
    *("--leave-running", "--tcp-skip-in-flight", "--link-remap", "--manage-cgroups-mode", "strict"),
    *("--parent-path", "../older", "--page-server", "[::1]:7000"),
)
RESTORE_WITH = (
    *("--manage-cgroups-mode", "ignore", "--lsm-profile", "selinux:of-its-own", "--lsm-mount-context", "of-mounts"),
)


@pytest.fixture
def oci(oci: Runtime) -> Runtime:
    if oci.name != "urun":
        pytest.skip("about the options of urun: runc answers to a CRIU of the right version only")
    return oci


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return install(tmp_path, SOURCE)


def settings(asked: Path, kind: int) -> Fields:
    """The options of the last request of that kind."""
    requests = [fields(bytes.fromhex(line)) for line in asked.read_text().split()]
    return fields(data([found for found in requests if number(found, 1) == kind][-1], 2))


def test_the_options_of_checkpoint(oci: Runtime, bundle: Bundle, asked: Path) -> None:
    images, work = oci.directory / "images", oci.directory / "work"
    (oci.directory / "older").mkdir()
    oci.running(bundle.sleep())
    said = oci.fails("checkpoint", "--lazy-pages", "--status-fd", "77", "--image-path", str(images), oci.id)
    assert "invalid --status-fd argument 77" in said
    ready, theirs = os.pipe()
    try:
        words = ["--status-fd", str(theirs), "--image-path", str(images), "--work-path", str(work), *BOTH, *CHECKPOINT]
        oci.ok("checkpoint", *words, oci.id, pass_fds=[theirs])
    finally:
        os.close(theirs)
    assert os.read(ready, 2) == b"\0"
    os.close(ready)
    told = settings(asked, DUMP)
    for option in (3, 4, 5, 7, 8, 15, 16, 18, 46, 48, 50):  # the flags, memory tracking, terminals that are orphans
        assert number(told, option) == 1, option
    assert (number(told, 34), data(told, 14), data(told, 11)) == (5, b"../older", pair("::1", 7000))
    assert oci.status() == "running"
    oci.ok("checkpoint", "--pre-dump", "--image-path", str(images), oci.id)
    assert number(settings(asked, PRE_DUMP), 2) == oci.state()["pid"]


def test_the_options_of_restore_and_the_record_of_what_comes(oci: Runtime, bundle: Bundle, asked: Path) -> None:
    bundle.linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    images = oci.directory / "images"
    images.mkdir()
    (images / "descriptors.json").write_text('["/dev/null", "pipe:[1]", "pipe:[2]"]')
    pid_file = oci.directory / "pid"
    words = ["restore", "-d", "--bundle", str(bundle.write()), "--pid-file", str(pid_file), *BOTH, *RESTORE_WITH]
    oci._made.append(oci.id)
    subprocess.run(
        [*oci.argv, *words, "--image-path", str(images), oci.id], stdin=subprocess.DEVNULL, timeout=60, check=True
    )
    told = settings(asked, RESTORE)
    for option in (4, 5, 6, 7, 8, 16, 26, 48, 50):
        assert number(told, option) == 1, option
    assert (number(told, 34), data(told, 53), data(told, 63)) == (0, b"selinux:of-its-own", b"of-mounts")
    assert told[27] == [pair("pipe:[1]", 1), pair("pipe:[2]", 2)]
    state = oci.state()
    assert (state["status"], state["pid"]) == ("running", int(pid_file.read_text()))
    assert f"/{oci.id}" in Path(f"/proc/{state['pid']}/cgroup").read_text()
    oci.stop()
    oci.ok("delete", oci.id)
