"""The engine of an ordinary user: nobody of this machine, with ids that a private /etc/subuid lends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import IMAGE, SOURCE, Household, until
from tests.needs import needs
from tools.oci_image import busybox_layer, write_layout

pytestmark = [needs("root", "overlay", "busybox", "newuidmap", "setpriv", "unshare")]

NOBODY = 65534
_ENTER = """\
set -e
mount --make-rprivate /
mount --bind {0}/subids /etc/subuid
mount --bind {0}/subids /etc/subgid
mount --bind {0}/passwd /etc/passwd
exec setpriv --reuid 65534 --regid 65534 --clear-groups \
    env -i PATH="$PATH" HOME={0}/home XDG_RUNTIME_DIR={0}/run XDG_DATA_HOME={0}/data "$@"
"""
LAUNCHER = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "utsuwa"


class Lodger(Household):
    """``utsuwa`` as somebody else, in a mount namespace where the files about users are others."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.root, self.run_directory = directory / "data/utsuwa", directory / "run/utsuwa"
        self._script = directory / "enter"
        self.environment = dict(os.environ)

    def command(self, *words: str) -> list[str]:
        """The command line behind everything that makes us that user."""
        program = [str(LAUNCHER), *words] if words[0] == "pull" else super().command(*words)
        return ["unshare", "--mount", "sh", str(self._script), *program]


def _prepared() -> Path:
    """A directory that everybody may pass through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="utsuwa-rootless-"))
    directory.chmod(0o755)
    (directory / "enter").write_text(_ENTER.format(directory))
    (directory / "subids").write_text("nobody:200000:65536\n")
    (directory / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::{directory}/home:/bin/sh\n")
    for name in ("home", "run", "data"):
        (directory / name).mkdir()
        os.chown(directory / name, NOBODY, NOBODY)
    return directory


@pytest.fixture(scope="module")
def house() -> Iterator[Lodger]:
    if subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "test", "-r", SOURCE / "utsuwa"], check=False
    ).returncode:
        pytest.skip("the sources are not everybody's to read")
    directory = _prepared()
    household = Lodger(directory)
    write_layout(directory / "image.tar", [busybox_layer()], f"{IMAGE}:latest", {"Env": ["PATH=/bin"]})
    done = household("load", "-i", str(directory / "image.tar"))
    if b"lets no ordinary user make a user namespace" in done.stderr:
        shutil.rmtree(directory)
        pytest.skip(done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    yield household
    household.end()
    os.kill(int((household.run_directory / "rootless").read_text().split()[0]), signal.SIGKILL)
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def nothing_stays(house: Lodger) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-fv", identifier)
    assert house.leftovers() == []


def test_root_inside_is_the_user_outside(house: Lodger) -> None:
    shown = house.ok("run", "--rm", IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; touch /file && stat -c %u /file")
    assert shown.split() == ["0", "0", "65534", "1", "1", "200000", "65536", "0"]
    assert house.ok("run", "--rm", "-u", "5:6", "--network", "host", IMAGE, "sh", "-c", "id -u; id -g") == "5\n6\n"
    assert os.stat(house.root).st_uid == NOBODY
    assert house("run", "--rm", IMAGE, "sh", "-c", "exit 7").returncode == 7


def test_a_whole_life(house: Lodger) -> None:
    script = "echo begun; echo kept >/data/file; sleep 1000"
    house.ok("run", "-d", "--name", "box", "-v", "data:/data", "-v", "/anonymous", IMAGE, "sh", "-c", script)
    until(lambda: house.ok("logs", "box") == "begun\n")
    assert house.ok("exec", "box", "cat", "/data/file") == "kept\n"
    assert house.ok("exec", "-t", "box", "sh", "-c", "test -t 0 && echo tty") == "tty\r\n"
    assert house.ok("inspect", "-f", "{{.State.Status}}", "box") == "running\n"
    house.ok("stop", "-t", "0", "box")
    house.ok("start", "box")
    until(lambda: house.ok("logs", "box") == "begun\nbegun\n")
    house.ok("rm", "-fv", "box")
    assert house.ok("volume", "ls", "-q") == "data\n"
    house.ok("volume", "rm", "data")


def test_what_an_ordinary_user_can_not_have(house: Lodger) -> None:
    done = house("run", "--rm", "-m", "64m", IMAGE, "true")
    assert (done.returncode, "have no cgroup" in done.stderr.decode()) == (125, True)


@needs("docker-registry", "skopeo")
def test_pull(house: Lodger, tmp_path: Path) -> None:
    if not os.access(LAUNCHER, os.X_OK):
        pytest.skip("needs ./dev setup")
    (tmp_path / "registry").mkdir()
    with registry.running(tmp_path / "registry") as host:
        registry.push(f"oci-archive:{house.run_directory.parents[1]}/image.tar", f"{host}/test:1")
        house.ok("pull", "-q", f"{host}/test:1")
        assert house.ok("run", "--rm", f"{host}/test:1", "echo", "pulled") == "pulled\n"
        house.ok("rmi", f"{host}/test:1")
