"""Docker, podman and buildah, on urun and on its peers: what was said once is said again.

`UTSUWA_TRANSCRIPT_RUNTIMES="urun runc crun"` plays them with the peers as well; what those do otherwise is in PEERS.
`UTSUWA_TRANSCRIPT_UPDATE=runc` lets that runtime rewrite them: the difference is what a reviewer reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conformance import engines
from tests.conformance.conftest import removed
from tests.conformance.engines import RUNTIMES, Engine
from tests.conformance.transcript import Transcript
from tests.contract.oci import eventually, make_rootfs
from tests.needs import enforce, needs

pytestmark = needs("root", "cgroup1", "overlay", "busybox")

_FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
PEERS = {
    ("docker", "privileged", "runc"): "asks for more capabilities than the host has to give, and fails",
    ("docker", "privileged", "crun"): "asks for more capabilities than the host has to give, and fails",
    ("docker", "limits", "crun"): "refuses an update of the shares alone",
    ("buildah", "build", "crun"): "has words of its own for a missing program",
    ("docker", "output_and_status", "crun"): "has words of its own for a missing program, which Docker does not know",
}
"""Engine, transcript and runtime -> what the peer does otherwise."""


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    enforce("busybox")
    directory = tmp_path_factory.mktemp("image")
    return engines.archive(make_rootfs(directory / "rootfs", engines.busybox(directory)), directory / "image.tar")


@pytest.fixture(scope="module")
def docker(tar: Path) -> Iterator[Engine]:
    enforce("dockerd", "docker", "containerd")
    yield from _engine(engines.docker, tar)


@pytest.fixture(scope="module")
def podman(tar: Path) -> Iterator[Engine]:
    enforce("podman", "conmon")
    yield from _engine(engines.podman, tar)


@pytest.fixture(scope="module")
def buildah(tar: Path) -> Iterator[Engine]:
    enforce("buildah")
    yield from _engine(engines.buildah, tar)


def _engine(start: Callable[[Path, str], AbstractContextManager[Engine]], tar: Path) -> Iterator[Engine]:
    group = f"utsuwa-test-{start.__name__}-{os.getpid()}"
    with start(tar, group) as found:
        yield found
    eventually(lambda: removed(group), f"the removal of the cgroups {group}")


def runs(engine: str) -> list[ParameterSet]:
    """Every transcript of the engine with every runtime."""
    wanted = [path for path in _FILES if engine in Transcript(path).engines]
    return [_run(engine, name, path) for path in wanted for name in RUNTIMES]


def _run(engine: str, name: str, path: Path) -> ParameterSet:
    reason = PEERS.get((engine, path.stem, name))
    marks = [pytest.mark.xfail(reason=reason, strict=False)] if reason else []
    return pytest.param(name, path, id=f"{path.stem}-{name}", marks=marks)


@pytest.mark.parametrize(("runtime", "path"), runs("docker"))
def test_docker_says_what_is_written(docker: Engine, runtime: str, path: Path, tmp_path: Path) -> None:
    _play(docker, runtime, path, tmp_path)


@pytest.mark.parametrize(("runtime", "path"), runs("podman"))
def test_podman_says_what_is_written(podman: Engine, runtime: str, path: Path, tmp_path: Path) -> None:
    _play(podman, runtime, path, tmp_path)


@pytest.mark.parametrize(("runtime", "path"), runs("buildah"))
def test_buildah_says_what_is_written(buildah: Engine, runtime: str, path: Path, tmp_path: Path) -> None:
    _play(buildah, runtime, path, tmp_path)


def _play(engine: Engine, runtime: str, path: Path, directory: Path) -> None:
    if runtime != "urun":
        enforce(runtime)
    transcript = Transcript(path)
    rewrite = os.environ.get("UTSUWA_TRANSCRIPT_UPDATE") == runtime
    try:
        told = transcript.play(engine.environment(runtime, directory), directory, whole=rewrite)
    finally:
        engine.clear()
    if rewrite:
        path.write_text(told)
    assert told == transcript.text
