"""Images for several platforms: built, kept under one name, sent, fetched, saved, loaded and removed as one."""

from __future__ import annotations

import json
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import Household
from tests.integration.test_build import build, fails
from tests.integration.test_engine_pull import Installed
from tests.needs import needs
from utsuwa.spec import platform

pytestmark = [needs("root", "overlay", "busybox", "docker-registry")]

HOST = platform.host().architecture
OTHER = "arm64" if HOST != "arm64" else "amd64"
BOTH = ("--platform", f"linux/{OTHER},linux/{HOST}")
TEXT = "FROM scratch\nARG TARGETARCH\nCOPY <<EOF /which\n$TARGETARCH\nEOF\n"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.running(tmp_path_factory.mktemp("registry")) as name:
        yield name


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("platforms")
    household = Installed(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture
def name(house: Household, host: str, tmp_path: Path) -> Iterator[str]:
    """An image for this host and for another one."""
    name = f"{host}/{tmp_path.name.lower()}:1"
    build(house, tmp_path, TEXT, *BOTH, "-t", name)
    yield name
    house("rmi", "-f", name)


def kept(house: Household, name: str) -> dict[str, str]:
    """Architecture -> ID of the images of a name."""
    listed = house.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    ids = [line.split()[1] for line in listed if line.split()[0] == name]
    return {json.loads(house.ok("inspect", each))[0]["Architecture"]: each for each in ids}


def offered(name: str) -> dict[str, str]:
    """Architecture -> digest of what a registry has for a name; that of the whole under ""."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")
    accept = "application/vnd.oci.image.index.v1+json,application/vnd.oci.image.manifest.v1+json"
    asked = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{tag}", headers={"Accept": accept})
    with urllib.request.urlopen(asked) as answer:
        whole, document = answer.headers["Docker-Content-Digest"], json.load(answer)
    found = {each["platform"]["architecture"]: each["digest"] for each in document.get("manifests", ())}
    return {**found, "": whole}


def test_built_kept_and_removed_as_one(house: Household, tmp_path: Path, name: str) -> None:
    images = kept(house, name)
    assert set(images) == {HOST, OTHER}
    assert json.loads(house.ok("inspect", name))[0]["Id"] == images[HOST]
    for architecture in (HOST, OTHER):
        made = house.ok("create", "--platform", f"linux/{architecture}", name, "x").strip()
        assert json.loads(house.ok("inspect", made))[0]["Image"] == images[architecture]
        house.ok("rm", made)
        steps = house.ok("history", "-q", "--no-trunc", "--platform", f"linux/{architecture}", name).split()
        assert steps[0] == images[architecture]
        found = house.ok("image", "inspect", "--platform", f"linux/{architecture}", "-f", "{{.Id}}", name)
        assert found.strip() == images[architecture]
    assert b"does not provide" in house("image", "inspect", "--platform", "linux/s390x", name).stderr
    house.ok("tag", name, "second:name")
    assert kept(house, "second:name") == images
    lines = house.ok("images", "--tree", "second").splitlines()[3:]
    first, last = sorted((HOST, OTHER))
    shown = [line.split()[:3] for line in lines]
    assert shown[0][:2] == ["second:name", images[HOST][7:19]]
    assert shown[1:] == [["├─", f"linux/{first}", images[first][7:19]], ["└─", f"linux/{last}", images[last][7:19]]]
    house.ok("rmi", name)
    assert kept(house, "second:name") == images
    assert house.ok("rmi", "--platform", f"linux/{OTHER}", "second:name").startswith(f"Deleted: {images[OTHER]}\n")
    assert kept(house, "second:name") == {HOST: images[HOST]}
    house.ok("rmi", "--platform", f"linux/{HOST}", "second:name")
    assert not set(images.values()) & set(house.ok("images", "-aq", "--no-trunc").split())


def test_sent_and_fetched(house: Household, name: str) -> None:
    images = kept(house, name)
    house.ok("push", "-q", name)
    sent = offered(name)
    assert set(sent) == {"", HOST, OTHER}
    house.ok("rmi", name)
    for architecture in (OTHER, HOST):
        house.ok("pull", "-q", "--platform", f"linux/{architecture}", name)
    assert kept(house, name) == images
    assert json.loads(house.ok("inspect", name))[0]["Id"] == images[HOST]
    house.ok("push", "-q", name)
    assert offered(name) == sent
    house.ok("push", "-q", "--platform", f"linux/{OTHER}", name)
    assert offered(name) == {"": sent[OTHER]}
    assert b"does not provide the specified platform" in house("push", "--platform", "linux/s390x", name).stderr


def test_saved_and_loaded(house: Household, tmp_path: Path, name: str) -> None:
    images, archive = kept(house, name), str(tmp_path / "archive.tar")
    house.ok("save", "-o", archive, name)
    house.ok("rmi", name)
    house.ok("load", "-q", "-i", archive)
    assert kept(house, name) == images
    house.ok("save", "-o", archive, "--platform", f"linux/{OTHER}", name)
    house.ok("rmi", name)
    house.ok("load", "-q", "-i", archive)
    assert kept(house, name) == {OTHER: images[OTHER]}


def test_other_outputs(house: Household, tmp_path: Path) -> None:
    out, archive = tmp_path / "out", tmp_path / "oci.tar"
    build(house, tmp_path, TEXT, *BOTH, "-o", str(out))
    assert {path.name: (path / "which").read_text() for path in out.iterdir()} == {
        f"linux_{each}": f"{each}\n" for each in (HOST, OTHER)
    }
    build(house, tmp_path, TEXT, *BOTH, "-t", "packed:1", "-o", f"type=oci,dest={archive}")
    with tarfile.open(archive) as packed:
        (entry,) = json.load(packed.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
        index = json.load(packed.extractfile(f"blobs/sha256/{entry['digest'][7:]}"))  # type: ignore[arg-type]
    assert [each["platform"]["architecture"] for each in index["manifests"]] == sorted((HOST, OTHER))
    assert b"packed" not in house("images").stdout
    assert "use type=oci" in fails(house, tmp_path, TEXT, *BOTH, "-o", f"type=docker,dest={archive}")


def test_a_run_for_another_platform_is_refused(house: Household, tmp_path: Path) -> None:
    said = fails(house, tmp_path, 'FROM scratch\nRUN ["/x"]\n', "--platform", "linux/s390x")
    assert "unsupported: RUN for linux/s390x on linux/" in said


def test_a_list_made_by_hand(house: Household, host: str, tmp_path: Path) -> None:
    name, elsewhere = f"{host}/list:1", f"{host}/elsewhere:{OTHER}"
    for architecture, place in ((HOST, f"{host}/list:{HOST}"), (OTHER, elsewhere)):
        build(house, tmp_path, TEXT, "--platform", f"linux/{architecture}", "-t", place, "--push")
    assert house.ok("manifest", "create", name, f"{host}/list:{HOST}", elsewhere) == f"Created manifest list {name}\n"
    assert b"with no --amend flag" in house("manifest", "create", name, elsewhere).stderr
    house.ok("manifest", "annotate", "--variant", "v9", "--os-version", "1", "--os-features", "a,b", name, elsewhere)
    shown = house.ok("manifest", "inspect", name)
    assert shown.startswith('{\n   "schemaVersion": 2,\n   "mediaType": "application/vnd.oci.image.index.v1+json",\n')
    mine, other = json.loads(shown)["manifests"]
    assert mine["platform"] == {"architecture": HOST, "os": "linux"}
    assert other["platform"] == {
        "architecture": OTHER,
        "os": "linux",
        "os.version": "1",
        "os.features": ["a", "b"],
        "variant": "v9",
    }
    digest = house.ok("manifest", "push", "--purge", name).strip()
    assert offered(name) == {"": digest, HOST: mine["digest"], OTHER: other["digest"]}
    (told, _) = json.loads(house.ok("manifest", "inspect", "-v", name))
    assert told["Ref"] == f"{name}@{mine['digest']}"
    assert (told["Descriptor"]["digest"], told["OCIManifest"]["schemaVersion"]) == (mine["digest"], 2)
    for words, said in (
        (("rm", name), "No such manifest: "),
        (("push", name), "No such manifest: "),
        (("annotate", name, elsewhere), "does not exist in "),
        (("create", f"{host}/x:1", f"{host}/nosuch:1"), "no such manifest: "),
    ):
        refused = house("manifest", *words)
        assert (refused.returncode, said in refused.stderr.decode()) == (1, True), refused.stderr
    assert b"No such manifest" in house("manifest", "rm", f"{host}/x:1").stderr
