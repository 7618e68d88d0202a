"""Copies into and out of containers: Docker's rules for names, and links that lead nowhere but inside."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("cp")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)
    assert house.leftovers() == []


@pytest.fixture(params=["running", "created"])
def box(house: Household, request: pytest.FixtureRequest) -> str:
    """The name of a container in each of the states."""
    if request.param == "created":
        house.ok("create", "--name", "box", IMAGE, "sleep", "1000")
    else:
        house.ok("run", "-d", "--name", "box", IMAGE, "sleep", "1000")
    if request.param == "paused":
        house.ok("pause", "box")
    return "box"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, with src/{f,l -> f,dir/g}."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/dir").mkdir(parents=True)
    (tmp_path / "src/f").write_text("x\n")
    (tmp_path / "src/dir/g").write_text("y\n")
    (tmp_path / "src/l").symlink_to("f")
    (tmp_path / "src/f").chmod(0o640)
    for path in (tmp_path / "src", tmp_path / "src/f"):
        os.chown(path, 1000, 1001)
    return tmp_path


def names(house: Household, path: str) -> list[str]:
    """The members of the archive of a path: their types, owners and names."""
    done = house("cp", f"box:{path}", "-")
    assert done.returncode == 0, done.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return [f"{entry.name} {entry.mode:o} {entry.uid}:{entry.gid} {entry.linkname}".strip() for entry in archive]


def complaint(house: Household, *words: str, stdin: bytes = b"") -> str:
    done = house("cp", *words, stdin=stdin)
    assert done.returncode == 1, words
    return done.stderr.decode().removeprefix("utsuwa: ").strip()


TREE = ["{} 755 1000:1001", "{}/dir 755 0:0", "{}/dir/g 644 0:0", "{}/f 640 1000:1001", "{}/l 777 0:0 f"]


def tree(top: str) -> list[str]:
    return [line.format(top) for line in TREE]


INTO = [
    ("src/f", "/f", "/f", ["f 640 1000:1001"]),
    ("src/f", "relative", "/relative", ["relative 640 1000:1001"]),
    ("src/f", "/tmp", "/tmp/f", ["f 640 1000:1001"]),
    ("src/dir/g", "/tmp/../tmp/", "/tmp/g", ["g 644 0:0"]),
    ("src/f", "/etc/passwd", "/etc/passwd", ["passwd 640 1000:1001"]),
    ("src/l", "/l", "/l", ["l 777 0:0 f"]),
    ("src", "/new", "/new", tree("new")),
    ("src/", "/slash", "/slash", tree("slash")),
    ("src/.", "/dot", "/dot", tree("dot")),
    ("src", "/tmp", "/tmp/src", tree("src")),
    ("src/.", "/dot/dir/", "/dot/dir/f", ["f 640 1000:1001"]),
    ("src", "/root/", "/root/src/.", tree(".")),
]


def test_in(house: Household, box: str, here: Path) -> None:
    for source, target, seen, what in INTO:
        assert house.ok("cp", source, f"box:{target}") == ""
        assert names(house, seen) == what, (source, target)


@pytest.mark.parametrize("box", ["created"], indirect=True)
def test_links_are_followed_when_asked(house: Household, box: str, here: Path) -> None:
    house.ok("cp", "-L", "src/l", "box:/linked")
    house.ok("cp", "src", "box:/new")
    assert names(house, "/linked") == ["linked 640 1000:1001"]
    house.ok("cp", "-L", "box:/new/l", "out")
    house.ok("cp", "box:/new/l", "link")
    assert (Path("out").read_text(), os.readlink("link")) == ("x\n", "f")


def test_out(house: Household, box: str, here: Path) -> None:
    house.ok("cp", "src", "box:/new")
    for _ in range(2):  # the second time, the directory is there
        house.ok("cp", "box:/new", "out")
    house.ok("cp", "box:/new/.", "contents")
    house.ok("cp", "box:/new/f", "out/")
    house.ok("cp", "box:/new/f", "out/new/renamed")
    found = sorted(str(path.relative_to(here)) for path in Path(here).glob("[oc]*/**/*"))
    assert found == [
        *("contents/dir", "contents/dir/g", "contents/f", "contents/l"),
        *("out/dir", "out/dir/g", "out/f", "out/l"),
        *("out/new", "out/new/dir", "out/new/dir/g", "out/new/f", "out/new/l", "out/new/renamed"),
    ]
    copied, original = os.stat("out/f"), os.stat("src/f")
    assert (copied.st_uid, copied.st_gid, stat.S_IMODE(copied.st_mode)) == (0, 0, 0o640)
    assert copied.st_mtime_ns // 10**9 == original.st_mtime_ns // 10**9
    house.ok("cp", "-a", "box:/new", "owned")
    assert (os.stat("owned/f").st_uid, os.stat("owned/f").st_gid) == (1000, 1001)


@pytest.mark.parametrize("box", ["running"], indirect=True)
def test_complaints_are_dockers(house: Household, box: str, here: Path) -> None:
    absent = "Could not find the file {} in container box"
    assert complaint(house, "src/f", "box:/nodir/") == "no such directory"
    assert complaint(house, "src/f", "box:/no/file") == absent.format("/no")
    assert complaint(house, "src", "box:/etc/passwd") == "cannot copy directory"
    assert complaint(house, "src/nosuch", "box:/") == f"lstat {here}/src/nosuch: no such file or directory"
    assert complaint(house, "box:/nosuch", ".") == absent.format("/nosuch")
    assert complaint(house, "box:/etc/passwd/x", ".") == absent.format("/etc/passwd/x")
    assert complaint(house, "box:/etc/passwd", "nosuch/") == "no such directory"
    assert (
        complaint(house, "box:/etc/passwd", "nosuch/x")
        == f'invalid output path: directory "{here}/nosuch" does not exist'
    )
    assert complaint(house, "box:/etc", "src/f") == "cannot copy directory"
    assert complaint(house, "box:/f", "box:/g") == "copying between containers is not supported"
    assert complaint(house, "a", "b") == "must specify at least one container source"
    assert complaint(house, "nosuch:/f", ".") == "No such container: nosuch"
    (here / "src/etc").write_text("a file")
    assert 'cannot overwrite directory "etc" with non-directory' in complaint(house, "src/etc", "box:/")


# --- archives -------------------------------------------------------------------------------------------------------


def archive(*members: tuple[str, bytes, str], compression: str = "") -> bytes:
    """name, type, content or link target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as out:  # type: ignore[call-overload]
        for name, kind, text in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.linkname = kind, 0o755, "" if kind == tarfile.REGTYPE else text
            entry.size = len(text) if kind == tarfile.REGTYPE else 0
            out.addfile(entry, io.BytesIO(text.encode()) if kind == tarfile.REGTYPE else None)
    return buffer.getvalue()


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def test_archives_are_taken(house: Household, box: str) -> None:
    members = (("lib", LINK, "/tmp"), ("lib/x", FILE, "1"), ("a/b/c", FILE, "2"), ("same", HARD, "a/b/c"))
    data = archive(*members)
    house.ok("cp", "-", "box:/", stdin=data)
    house.ok("cp", "-", "box:/", stdin=archive(*members, compression="gz"))
    assert names(house, "/tmp/x") == ["x 755 0:0"]  # through a link, as the container itself would
    assert names(house, "/same") == ["same 755 0:0"]
    assert "must be a directory" in complaint(house, "-", "box:/nosuch", stdin=data)
    assert "must be a directory" in complaint(house, "-", "box:/same", stdin=data)
    assert "archive is truncated" in complaint(house, "-", "box:/", stdin=archive(("big", FILE, "x" * 5000))[:2048])
    assert complaint(house, "-", "box:/", stdin=b"no archive" * 100)


def test_archives_lead_nowhere(house: Household, box: str, here: Path) -> None:
    secret = here / "secret"
    secret.write_text("secret")
    up = "../" * 40
    out = archive(("out", LINK, f"{up}{here}"), ("out/secret", FILE, "changed"))
    house("cp", "-", "box:/", stdin=out)  # inside there is no such directory, or there is one now
    assert "leads out" in complaint(house, "-", "box:/", stdin=archive((f"{up[:9]}x", FILE, "y")))
    assert "leads out" in complaint(house, "-", "box:/", stdin=archive(("hard", HARD, f"{up}{secret}")))
    assert secret.read_text() == "secret"


# --- what containers do to those who copy ---------------------------------------------------------------------------


def test_hostile_links_stay_inside(house: Household, here: Path) -> None:
    secret = here / "secret"
    secret.write_text("secret")
    house.ok(
        *("run", "-d", "--name", "box", IMAGE, "sh", "-c"),
        f"ln -s {here} /there; ln -s /there/secret /leak; ln -s {'../' * 40}{secret} /up; ln -s /proc/1/root /magic;"
        "mkdir -p /d; ln -s / /d/root; touch /ready; exec sleep 1000",
    )
    while house("exec", "box", "test", "-e", "/ready").returncode:
        pass
    for state in ("running", "stopped"):
        if state == "stopped":
            house.ok("stop", "-t", "0", "box")
        assert "Could not find" in complaint(house, "box:/there/secret", "got")
        for link in ("/leak", "/up"):
            assert "Could not find" in complaint(house, "-L", f"box:{link}", "got")
        assert "Could not find" in complaint(house, "src/f", "box:/there/f")
        if state == "running":
            assert house("cp", "box:/magic/etc/passwd", "got").returncode == 1
        house.ok("cp", "box:/d", "copied")
        assert os.readlink("copied/root") == "/"  # as it is: nothing was read through it
        assert sorted(os.listdir(here)) == ["copied", "secret", "src"]
        os.unlink("copied/root"), os.rmdir("copied")
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("box", ["created"], indirect=True)
def test_a_link_of_the_hosts_is_not_written_through(house: Household, box: str, here: Path) -> None:
    house.ok("cp", "src", "box:/new")
    (here / "elsewhere").mkdir()
    (here / "out/new").mkdir(parents=True)
    (here / "out/new/dir").symlink_to(here / "elsewhere")
    assert "cannot overwrite non-directory" in complaint(house, "box:/new", "out")
    assert os.listdir("elsewhere") == []


@pytest.mark.parametrize("box", ["paused"], indirect=True)
def test_devices_and_set_id_bits_stay_behind(house: Household, box: str, here: Path) -> None:
    os.mknod(here / "src/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(here / "src/dir/g", 0o4755)
    house.ok("cp", "src", "box:/new")
    assert "new/dir/g 4755 0:0" in names(house, "/new")
    done = house("cp", "box:/new", "out")
    assert (done.returncode, b"new" in done.stderr or b"null" in done.stderr) == (0, True)
    assert not os.path.exists("out/null")
    assert stat.S_IMODE(os.stat("out/dir/g").st_mode) == 0o755
    house.ok("cp", "-a", "box:/new", "all")
    assert stat.S_ISCHR(os.stat("all/null").st_mode)


# --- mounts of the container ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_volumes_and_binds_are_seen(house: Household, here: Path, running: bool) -> None:
    (here / "shared").mkdir()
    (here / "fixed").mkdir()
    words = ["--name", "box", "-v", f"{here}/shared:/mnt/deep/shared", "-v", f"{here}/fixed:/fixed:ro"]
    words += ["-v", "named:/named", "--read-only", IMAGE, "sleep", "1000"]
    house.ok(*(("run", "-d") if running else ("create",)), *words)
    house.ok("cp", "src/f", "box:/mnt/deep/shared")
    assert (here / "shared/f").read_text() == "x\n"
    house.ok("cp", "src/f", "box:/named/f")
    assert (house.root / "volumes/named/_data/f").read_text() == "x\n"
    assert "read-only" in complaint(house, "src/f", "box:/fixed")
    assert "read-only" in complaint(house, "src/f", "box:/root")
    assert names(house, "/mnt/deep/shared/f") == ["f 640 1000:1001"]


@pytest.mark.parametrize("running", [True, False])
def test_of_a_volume_only_what_is_mounted_is_seen(house: Household, here: Path, running: bool) -> None:
    """Proven: of a container that did not run, the whole volume was shown, and written to."""
    script = "mkdir -p /v/a/b /v/secret; ln -s ../../../a /v/a/link; ln -s / /v/a/up"
    volume = f"parts-{running}"
    house.ok("run", "--rm", "-v", f"{volume}:/v", IMAGE, "sh", "-c", script)
    (here / "file").write_text("x")
    for part, place in (("a", "a"), ("a/link/b", "a/b")):
        mount = f"type=volume,src={volume},dst=/data,volume-subpath={part}"
        words = ("run", "-d") if running else ("create",)
        house.ok(*words, "--name", "part", "--mount", mount, IMAGE, "sleep", "1000")
        house.ok("cp", str(here / "file"), "part:/data/new")
        assert (house.root / "volumes" / volume / "_data" / place / "new").read_text() == "x"
        assert "secret" not in str(_members(house, "part:/data"))
        house.ok("rm", "-f", "part")


def _members(house: Household, what: str) -> list[str]:
    done = house("cp", what, "-")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return archive.getnames()


def test_archive_mode_gives_to_the_containers_user(house: Household, here: Path) -> None:
    house.ok("create", "--name", "box", "-u", "nobody", IMAGE)
    house.ok("cp", "-a", "src", "box:/new")
    assert {line.split()[2] for line in names(house, "/new")} == {"65534:65534"}


def test_a_change_of_a_stopped_container_is_there_when_it_starts(house: Household, here: Path) -> None:
    house.ok("create", "--name", "box", IMAGE, "cat", "/f")
    house.ok("cp", "src/f", "box:/f")
    assert house.ok("start", "-a", "box") == "x\n"
    house.ok("cp", "src/dir/g", "box:/f")
    assert house.ok("start", "-a", "box") == "y\n"


def copy_half(house: Household) -> subprocess.Popen[bytes]:
    """A copy into the container, in the middle of a file of which there are 40 bytes to come."""
    copying = house.begin("cp", "-", "box:/")
    assert copying.stdin is not None
    copying.stdin.write(archive(("begun", FILE, "x" * 20000))[:20000])
    copying.stdin.flush()
    upper = house.root / "snapshots/keys"
    until(lambda: any(path.stat().st_size for path in upper.glob("*/upper/begun")))
    return copying


def test_a_start_waits_for_a_copy(house: Household, here: Path) -> None:
    """Or the overlay would be mounted twice."""
    house.ok("create", "--name", "box", IMAGE, "wc", "-c", "/begun")
    copying = copy_half(house)
    starting = house.begin("start", "-a", "box")
    until(lambda: re.search(rf"-> FLOCK .* {starting.pid} ", Path("/proc/locks").read_text()) is not None)
    assert house.ok("inspect", "-f", "{{.State.Status}}", "box") == "created\n"
    copying.communicate(archive(("begun", FILE, "x" * 20000))[20000:])
    assert (copying.returncode, starting.communicate()[0]) == (0, b"20000 /begun\n")


def test_a_copy_that_is_killed_leaves_nothing(house: Household, here: Path) -> None:
    identifier = house.ok("create", "--name", "box", IMAGE, "true").strip()
    copying = copy_half(house)
    copying.kill()
    copying.communicate()
    assert not [line for line in house.leftovers(identifier) if str(house.root) in line and "overlay" in line]
    house.ok("start", "-a", "box")
