"""`utsuwa pull` and the pull of `utsuwa run`, against a real registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "docker-registry", "skopeo")]
LAUNCHER = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "utsuwa"


class Installed(Household):
    """By the launcher, which knows where the libraries are."""

    def command(self, *words: str) -> list[str]:
        return [str(LAUNCHER), *words]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installed]:
    if not os.access(LAUNCHER, os.X_OK):
        pytest.skip("needs ./dev setup")
    household = Installed(tmp_path)
    yield household
    household.end()


def test_pull_and_run(house: Installed, tmp_path: Path) -> None:
    source = Household(tmp_path / "source")
    source.root.mkdir(parents=True)
    source.load(tmp_path)
    source.end()
    (tmp_path / "registry").mkdir()
    with registry.running(tmp_path / "registry") as host:
        registry.push(f"oci-archive:{tmp_path}/image.tar", f"{host}/test:1")
        lines = house.ok("pull", f"{host}/test:1").splitlines()
        assert lines[0] == "1: Pulling from test"
        assert lines[-2] == f"Status: Downloaded newer image for {host}/test:1"
        assert lines[-1] == f"{host}/test:1"
        assert "Image is up to date" in house.ok("pull", f"{host}/test:1")
        house.ok("rmi", f"{host}/test:1")
        done = house("run", "--rm", f"{host}/test:1", "echo", "pulled")
        assert (done.returncode, done.stdout) == (0, b"pulled\n")
        assert done.stderr.startswith(f"Unable to find image '{host}/test:1' locally\n".encode())
        missing = house("run", "--rm", f"{host}/nothing:1")
        assert missing.returncode == 125
        assert "utsuwa: " in missing.stderr.decode()
        assert "Traceback" not in missing.stderr.decode()
    assert IMAGE not in house.ok("images")
    assert house.leftovers() == []
