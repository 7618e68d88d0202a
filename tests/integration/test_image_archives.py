"""Images in and out of archives: our own round trip, and those with dockerd, podman and skopeo."""

from __future__ import annotations

import io
import json
import lzma
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conformance import engines
from tests.conformance.engines import Engine
from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("archives")
    household = Household(directory)
    household.load(directory)
    household.ok("run", "--name", "changed", IMAGE, "sh", "-c", "echo made > /made; rm /etc/motd; mkdir -p /deep/er")
    household.ok("commit", "-m", "a message", "-a", "somebody", "-c", 'CMD ["cat", "/made"]', "changed", "made:1")
    yield household
    household.end()


def _config(house: Household, image: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(house.ok("inspect", image))[0]
    return found


def test_a_commit_holds_the_changes_and_the_configuration(house: Household) -> None:
    assert house.ok("run", "--rm", "made:1") == "made\n"
    assert house("run", "--rm", "made:1", "cat", "/etc/motd").returncode == 1
    assert house.ok("run", "--rm", "made:1", "sh", "-c", "echo $FROM_IMAGE; ls -d /deep/er") == "yes\n/deep/er\n"
    lines = house.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1").splitlines()
    assert lines[0] == "sh -c echo made > /made; rm /etc/motd; mkdir -p /deep/er|a message"
    house.ok("run", "--name", "plain", "-e", "MORE=1", "-w", "/tmp", "--label", "a=b", IMAGE, "true")
    identifier = house.ok("commit", "plain").strip()
    found = _config(house, identifier)
    config = found["Config"]
    assert isinstance(config, dict)
    assert (config["Cmd"], config["WorkingDir"], config["Labels"]) == (["true"], "/tmp", {"a": "b"})
    assert "MORE=1" in config["Env"] and not [word for word in config["Env"] if word.startswith("HOSTNAME=")]
    house.ok("rm", "plain")
    assert house.ok("rmi", identifier).startswith(f"Deleted: {identifier}\n")


def test_a_running_container_stands_still_while_it_is_committed(house: Household) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i >> /one; echo $i >> /two; done"
    house.ok("run", "-d", "--name", "busy", IMAGE, "sh", "-c", script)
    try:
        house.ok("commit", "busy", "busy:1")
        one, two = house.ok("run", "--rm", "busy:1", "sh", "-c", "tail -n1 /one; tail -n1 /two").split()
        assert int(one) - int(two) in (0, 1)
        assert house.ok("inspect", "-f", "{{.State.Status}}", "busy") == "running\n"
        house.ok("commit", "--pause=false", "busy", "busy:1")
    finally:
        house.ok("rm", "-f", "busy")
        house.ok("rmi", "busy:1")


def test_saved_and_loaded_again(house: Household, tmp_path: Path) -> None:
    path = tmp_path / "two.tar"
    before = house.ok("images", "--no-trunc", "-q", "made:1").strip()
    house.ok("save", "-o", str(path), "made:1", IMAGE)
    house.ok("tag", "made:1", "made:2")
    assert house("save", "made:1", IMAGE).stdout == path.read_bytes()
    house.ok("rmi", "made:1", "made:2")
    loaded = house.ok("load", stdin=path.read_bytes())
    assert loaded == f"Loaded image: made:1\nLoaded image: {IMAGE}:latest\n"
    assert house.ok("images", "--no-trunc", "-q", "made:1").strip() == before
    assert house.ok("run", "--rm", "made:1") == "made\n"


def test_saving_a_repository_saves_its_tags(house: Household) -> None:
    house.ok("tag", "made:1", "made:two")
    with tarfile.open(fileobj=io.BytesIO(house("save", "made").stdout)) as archive:
        (found,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert found["RepoTags"] == ["made:1", "made:two"]
    house.ok("rmi", "made:two")
    with tarfile.open(fileobj=io.BytesIO(house("save", _config(house, "made:1")["Id"]).stdout)) as archive:  # type: ignore[arg-type]
        (found,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert found["RepoTags"] is None
    missing = house("save", "nothing")
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert "No such image: nothing:latest" in missing.stderr.decode()


def test_exported_and_imported_again(house: Household, tmp_path: Path) -> None:
    exported = house("export", "changed").stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        names = archive.getnames()
        assert {"made", "deep/er", "bin/busybox"} <= set(names) and "etc/motd" not in names
    house.ok("import", "-c", "ENTRYPOINT cat /made", "-m", "brought", "-", "brought:1", stdin=exported)
    assert house.ok("run", "--rm", "brought:1") == "made\n"
    assert house.ok("history", "--format", "{{.Comment}}", "brought:1") == "brought\n"
    packed = tmp_path / "tree.tar.xz"
    packed.write_bytes(lzma.compress(exported))
    assert house.ok("import", str(packed)).startswith("sha256:")
    assert house.ok("run", "--rm", "brought:1") == "made\n"
    house.ok("rmi", "brought:1")
    broken = house("import", "-", stdin=b"no archive" * 100)
    assert broken.returncode == 1 and b"Traceback" not in broken.stderr


@pytest.fixture(scope="module", params=["docker", "podman"])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    makers: dict[str, Callable[[Path, str], AbstractContextManager[Engine]]] = {
        "docker": engines.docker,
        "podman": engines.podman,
    }
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "root" / "bin").mkdir(parents=True)
    engines.busybox(directory / "root" / "bin")
    tar = engines.archive(directory / "root", directory / "root.tar")
    with makers[request.param](tar, f"utsuwa-archives-{request.param}") as engine:
        yield engine


@needs("docker", "dockerd", "podman", "runc")
def test_another_engine_loads_what_we_save(house: Household, peer: Engine, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    house.ok("tag", "made:1", "docker.io/library/made:more")
    house.ok("save", "-o", str(path), "made")
    house.ok("rmi", "made:more")
    done = peer("load", "-i", str(path))
    assert done.returncode == 0, done.stderr
    assert "made:1" in done.stdout and "made:more" in done.stdout
    found = json.loads(peer("image", "inspect", "made:1").stdout)[0]
    ours = _config(house, "made:1")
    assert found["Id"].removeprefix("sha256:") == str(ours["Id"]).removeprefix("sha256:")
    assert found["RootFS"]["Layers"] == ours["RootFS"]["Layers"]  # type: ignore[index]


@needs("docker", "dockerd", "podman", "runc")
def test_we_load_what_another_engine_saves(house: Household, peer: Engine, tmp_path: Path) -> None:
    path = tmp_path / "theirs.tar"
    assert peer("tag", engines.IMAGE, "other:2").returncode == 0
    done = peer(
        "save", *(("-m",) if "podman" in str(peer("version").stdout.lower()) else ()), "-o", str(path), "other:2"
    )
    assert done.returncode == 0, done.stderr
    assert house.ok("load", "-i", str(path)).strip().endswith("other:2")
    name = house.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    other = next(each for each in name if each.endswith("other:2"))
    assert house.ok("run", "--rm", other, "/bin/busybox", "echo", "from there") == "from there\n"
    assert house.ok("load", "-i", str(path)).strip().endswith("other:2")
    house.ok("rmi", other)


@needs("skopeo")
def test_skopeo_reads_both_formats_of_one_archive(house: Household, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    house.ok("save", "-o", str(path), "made:1")
    digests = []
    for transport in ("oci-archive", "docker-archive"):
        target = tmp_path / transport
        command = ["skopeo", "copy", "-q", "--insecure-policy", f"{transport}:{path}", f"oci:{target}:x"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert house.ok("load", "-i", str(target)).startswith("Loaded image")
        shown = ["skopeo", "inspect", "--config", "--raw", f"oci:{target}:x"]
        digests.append(json.loads(subprocess.run(shown, capture_output=True, check=True).stdout)["rootfs"])
    assert digests[0] == digests[1]
