"""The cache of a build, from one machine to another: by a registry, by a directory, and within an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import IMAGE
from tests.integration.test_build import build, fails
from tests.integration.test_engine_pull import Installed
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "docker-registry")]

TEXT = f"""FROM {IMAGE} AS one
RUN cat /proc/sys/kernel/random/uuid >/one
FROM {IMAGE}
COPY --from=one /one /copied
RUN cat /proc/sys/kernel/random/uuid >/two
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.running(tmp_path_factory.mktemp("registry")) as name:
        yield name


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    yield from machine(tmp_path_factory.mktemp("here"))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Installed]:
    """A machine that has not built anything yet."""
    yield from machine(tmp_path)


def machine(directory: Path) -> Iterator[Installed]:
    household = Installed(directory)
    household.load(directory)
    yield household
    household.end()


def result(house: Installed) -> list[str]:
    return house.ok("run", "--rm", "result", "cat", "/copied", "/two").split()


@pytest.mark.parametrize("kind", ["registry", "local"])
def test_taken_along(here: Installed, there: Installed, host: str, tmp_path: Path, kind: str) -> None:
    to, source = {
        "registry": (f"type=registry,ref={host}/app:cache,mode=max", f"{host}/app:cache"),
        "local": (f"type=local,dest={tmp_path}/cache,mode=max", f"type=local,src={tmp_path}/cache"),
    }[kind]
    build(here, tmp_path, TEXT, "-t", "result", "--cache-to", to)
    said = build(there, tmp_path, TEXT, "-t", "result", "--cache-from", source)
    assert said.count("CACHED") == 3
    assert result(there) == result(here)
    assert build(there, tmp_path, TEXT, "--no-cache", "--cache-from", source).count("CACHED") == 0


def test_within_the_image(here: Installed, there: Installed, host: str, tmp_path: Path) -> None:
    name = f"{host}/inline:1"
    text = TEXT.replace("RUN cat /proc/sys/kernel/random/uuid >/one", "COPY Dockerfile /one")
    build(here, tmp_path, text, "-t", name, "--cache-to", "type=inline", "--push")
    here.ok("tag", name, "result")
    said = build(there, tmp_path, text, "-t", "result", "--cache-from", name)
    assert said.count("CACHED") == 2  # the layer of the other stage is not in the image
    assert result(there) == result(here)


def test_what_can_not_be_had(here: Installed, host: str, tmp_path: Path) -> None:
    said = build(here, tmp_path, TEXT, "--cache-from", f"{host}/nosuch:1", "--cache-from", "type=local,src=/nosuch")
    assert said.count("WARNING: cache of ") == 2
    damaged = tmp_path / "damaged"
    build(here, tmp_path, TEXT, "--cache-to", f"type=local,dest={damaged}")
    index = json.loads((damaged / "index.json").read_text())
    manifest = json.loads((damaged / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    for layer in manifest["layers"]:
        (damaged / "blobs/sha256" / layer["digest"][7:]).write_bytes(b"x" * layer["size"])
    here.ok("builder", "prune", "-af")
    assert "CACHED" not in build(here, tmp_path, TEXT, "--cache-from", f"type=local,src={damaged}")
    for flag, text in (("--cache-to", "type=gha"), ("--cache-from", "type=s3,x=y"), ("--cache-to", "type=local,a=b")):
        assert "unsupported: " in fails(here, tmp_path, TEXT, flag, text)
    assert "dest is required" in fails(here, tmp_path, TEXT, "--cache-to", "type=local")
