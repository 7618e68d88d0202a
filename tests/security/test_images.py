"""Images that want more than to be run: configurations and files, all the way through the engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archives import archive, directory, file, header, symlink
from tests.integration.household import Household
from tests.needs import needs
from tests.security.attack import Decoy
from tools.oci_image import busybox_layer, write_layout

pytestmark = needs("root", "overlay", "busybox")

NAME = "utsuwa/hostile"


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Decoy:
    return Decoy(tmp_path_factory.mktemp("host") / "decoy")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    made = Household(tmp_path_factory.mktemp("house"))
    yield made
    made.end()
    assert made.leftovers() == []


class Image:
    """An image of busybox and a hostile layer, with whatever configuration."""

    def __init__(self, house: Household, path: Path, decoy: Decoy) -> None:
        self._house, self._path = house, path
        climbing = "../" * 5 + str(decoy.path)[1:]
        assert len(climbing) < 95  # what fits into a header
        self._layer = archive(
            symlink("out", str(decoy.path)),
            symlink("climbing", climbing),
            symlink("toproc", "/proc/sys"),
            symlink("etc/hosts", climbing + "/file"),
            symlink("etc/resolv.conf", str(decoy.path / "file")),
            directory("data"),
            symlink("data/link", str(decoy.path)),
            file("data/fine", b"fine"),
            header(b"data/null", b"3", mode=0o666, device=(1, 3)),
            header(b"data/fifo", b"6"),
        )

    def load(self, **settings: Any) -> subprocess.CompletedProcess[bytes]:
        settings.setdefault("Env", ["PATH=/bin"])
        target = self._path / "image.tar"
        write_layout(target, [busybox_layer(), self._layer], f"{NAME}:latest", settings)
        return self._house("load", "-i", str(target))

    def run(self, *words: str, flags: tuple[str, ...] = (), **settings: Any) -> tuple[int, str]:
        """The exit code of a container and all that was said: no traceback, and no control characters."""
        done = self.load(**settings)
        if done.returncode == 0:
            done = self._house("run", "--rm", *flags, NAME, *(words or ("true",)))
        text = (done.stdout + done.stderr).decode()
        assert "Traceback" not in text, text
        assert "\x1b" not in text and "\0" not in text
        return done.returncode, text


@pytest.fixture
def image(house: Household, tmp_path: Path, decoy: Decoy) -> Iterator[Image]:
    yield Image(house, tmp_path, decoy)
    assert not decoy.touched


def test_links_of_the_image_stay_in_it(image: Image) -> None:
    """/etc/hosts and its kind are bound over links that lead out: nothing of the host is shown or made.

    Proven by reading them: the engine's content is there, in the container.
    """
    code, text = image.run("sh", "-c", "cat /etc/hosts; cat /out/file /climbing/file; true")
    assert code == 0 and "nameserver" in text and "decoy" not in text


@pytest.mark.parametrize("place", ["/out/made", "/climbing/made/too", "/toproc/made", "/proc/made", "relative/made"])
def test_working_directories_are_made_inside(image: Image, place: str) -> None:
    """CVE-2019-18837 by WorkingDir. Proven: those that can be made are there, in the container."""
    code, text = image.run("sh", "-c", "pwd; ls -d .", WorkingDir=place)
    assert (code == 0) is ("proc" not in place), text


@pytest.mark.parametrize(
    ("place", "runs"),
    [("/out/volume", True), ("/data", True), ("/dev/pts", True), ("/sys", True), ("/proc", False),
     ("/proc/self", False), ("//proc/", False), ("/x/../proc", False), ("/toproc", False), ("/", False), ("", False),
     ("/..", False)],
)  # fmt: skip
def test_volumes_of_the_image(image: Image, place: str, runs: bool) -> None:
    """CVE-2019-16884 by VOLUME: over /proc there is procfs. Proven: in other places there are volumes."""
    code, text = image.run("sh", "-c", "cat /proc/1/comm; test -e /proc/sys/kernel/ostype", Volumes={place: {}})
    assert (code == 0) is runs, text


@pytest.mark.parametrize(
    ("user", "ids"),
    [("", "0 0"), ("1000", "1000 0"), ("1:2", "1 2"), ("nobody", "65534 65534"), ("root:tty", "0 5"), (":5", "0 5"),
     ("7:", "7 0"), ("nosuch", ""), ("root:nosuch", ""), ("-1", ""), ("4294967295", ""), ("4294967296", ""), ("1 ", ""),
     ("1:2:3", ""), ("9" * 9999, ""), ("a b", ""), ("root\nroot", ""), ("root\0", ""), ("\x1b[2J", ""), ("..", "")],
)  # fmt: skip
def test_users_of_the_image(image: Image, user: str, ids: str) -> None:
    """CVE-2026-30892, CVE-2016-3697: what can't be a user is refused, not taken for root. Proven: users are users."""
    code, text = image.run("sh", "-c", "echo $(id -u) $(id -g)", User=user)
    assert (code, text) == (0, f"{ids}\n") if ids else code in (1, 125, 126), text


@pytest.mark.parametrize(
    ("settings", "runs"),
    [
        ({"Env": ["PATH=/bin", "NOVALUE", "A=\n\x1b[2J", "LD_PRELOAD=/x.so", "A=" + "b" * 100_000]}, True),
        ({"Env": ["PATH=/bin", "A=" + "b" * 300_000]}, False),
        ({"Env": ["PATH=/bin", *[f"A{n}=" + "b" * 1000 for n in range(5000)]]}, False),
        ({"Env": ["PATH=/bin", "A=b\0c"]}, False),
        ({"Entrypoint": ["tr\0ue"]}, False),
        ({"Entrypoint": [""]}, False),
        ({"Entrypoint": ["../" * 3000]}, False),
        ({"WorkingDir": "/a\0b"}, False),
        ({"WorkingDir": "/" + "x" * 300}, False),
        ({"WorkingDir": "/x" * 3000}, False),
        ({"Env": ["PATH=" + ":".join(["/x" * 2000] * 30) + ":/bin"]}, True),
        ({"StopSignal": "SIGNOTHING\x1b[2J"}, None),
        ({"Labels": {"\x1b[2J": "\x1b[2J"}, "ExposedPorts": {"\x1b": {}}}, True),
        ({"Cmd": "true"}, False),
        ({"Env": "A=b"}, False),
        ({"Volumes": ["/v"]}, False),
        ({"Healthcheck": {"Test": [], "Interval": 2**70}}, None),
    ],
)
def test_settings_of_the_image(image: Image, settings: dict[str, Any], runs: bool | None) -> None:
    """Absurd values are refused in our words, or harmless. Proven: the harmless ones run."""
    code, text = image.run(**settings)
    assert runs is None or (code == 0) is runs, text[:500]


_PATHS = ("../../x", "..", "a/../b", "x:..", "x@sha256:..", "x\x1b[2J", "a b", "", "x\u202e")


@pytest.mark.parametrize("name", _PATHS)
def test_names_are_no_paths(house: Household, image: Image, tmp_path: Path, name: str) -> None:
    """Names of images, containers and volumes that would be paths. Proven: names that are names are taken."""
    assert image.load().returncode == 0
    done = house("create", "--name", "fine", "-v", "alsofine:/x", NAME, "true")
    assert done.returncode == 0, done.stderr
    house("rm", "-f", "fine")
    before = _named(house)
    for words in (("create", "--name", name, NAME), ("create", "-v", f"{name}:/x", NAME), ("run", name), ("rmi", name)):
        if words == ("create", "--name", "", NAME) or (words[1] == "-v" and name[:2] in ("..", "x:", "x@")):
            continue  # no name is a random one; a path that begins with a dot is one, of the user's
        done = house(*words)
        said = done.stderr.decode()
        assert "Traceback" not in said and said.replace("\n", "").isprintable(), said
        assert done.returncode != 0, words
    write_layout(tmp_path / "x.tar", [busybox_layer()], name, {})
    done = house("load", "-i", str(tmp_path / "x.tar"))
    said = (done.stdout + done.stderr).decode()
    assert "Traceback" not in said and said.replace("\n", "").isprintable(), said
    assert _named(house) == before


def _named(house: Household) -> list[str]:
    return sorted(str(path) for part in ("volumes", "names", "containers") for path in (house.root / part).iterdir())


def test_volumes_with_links(house: Household, image: Image, tmp_path: Path, decoy: Decoy) -> None:
    """`-v` of the user follows the user's links, as Docker does; a volume's content can't replace the volume.

    Proven: what a container writes is in the volume.
    """
    (tmp_path / "link").symlink_to(tmp_path)
    assert image.run("test", "-s", "/v/image.tar", flags=("-v", f"{tmp_path}/link:/v:ro"))[0] == 0
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert image.run(flags=("-v", f"{tmp_path}/broken:/v"))[0] == 125
    escape = f"rm -rf /v; ln -s {decoy.path} /v; rmdir /v; echo x > /v/new; ln -s {decoy.path} /v/out; ls /v"
    _, text = image.run("sh", "-c", escape, flags=("-v", "escaping:/v"))
    assert "decoy\nnew\nout\n" in text
    nested = ("-v", "escaping:/v", "-v", "nested:/v/out/sub")  # by a link that the volume's own content is
    assert image.run("sh", "-c", f"test -d {decoy.path}/sub", flags=nested)[0] == 0
    assert sorted(os.listdir(house.root / "volumes/escaping/_data")) == ["decoy", "new", "out"]


def test_others_do_not_get_at_the_files_of_images(house: Household, image: Image) -> None:
    """Devices and set-uid programs of an image are on the host's disk: the way there is for root alone.

    Proven: root gets there.
    """
    image.load()
    found = list((house.root / "snapshots").rglob("null"))
    assert found and found[0].is_char_device()
    for path in (house.root / "snapshots", house.run_directory):
        assert path.stat().st_mode & 0o077 == 0 or house.root.stat().st_mode & 0o077 == 0, path
    script = f"ls {found[0]}"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", script], capture_output=True, check=False
    )
    assert done.returncode != 0


def test_lists_keep_to_their_lines(house: Household, image: Image) -> None:
    """A command of the image with escape sequences and line breaks, in `ps`. Proven: its words are there."""
    hostile = ["sh", "-c", "\x1b[2J\nCONTAINER\u202e\x9b31m true"]
    assert image.load(Cmd=hostile, Labels={"\x1b[2J": "\n"}).returncode == 0
    identifier = house.ok("create", NAME).strip()
    try:
        for flags in (
            ("--no-trunc",),
            (),
            ("--format", "{{.ID}} {{.Command}}"),
            ("--format", "table {{.ID}}\t{{.Labels}}"),
        ):
            text = house.ok("ps", "-a", *flags)
            assert text.count("\n") <= 2 and text.replace("\n", "").isprintable(), text
        assert "CONTAINER" in house.ok("ps", "-a", "--no-trunc").splitlines()[1]
        assert house.ok("images").replace("\n", "").isprintable()
    finally:
        house.ok("rm", identifier)
