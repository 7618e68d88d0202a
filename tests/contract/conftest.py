"""Fixtures of the contract suites: each runtime in turn, with a bundle, and nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import differences
from tests.contract.oci import Bundle, Runtime, cgroups_of, identifiers, mounts_below
from tests.needs import enforce


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark where the peers are known to differ: a difference is a finding, not a failure of ours."""
    for item in items:
        reason = differences.of(item.name)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))


_IDENTIFIERS = identifiers()


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static busybox that bundles link to: the host's own must never be the one a container could write to."""
    enforce("busybox")
    return Path(shutil.copy(shutil.which("busybox") or "", tmp_path_factory.mktemp("busybox") / "busybox"))


@pytest.fixture
def bundle(tmp_path: Path, busybox: Path) -> Bundle:
    """A bundle of busybox that runs `true`."""
    return Bundle(tmp_path / "bundle", busybox)


@pytest.fixture(params=["urun", "crun", "runc"])
def oci(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime; when the test ends, no container, cgroup or mount of it may be left."""
    enforce("root")
    if request.param != "urun":
        enforce(request.param)
    runtime = Runtime(request.param, tmp_path, next(_IDENTIFIERS))
    yield runtime
    runtime.clean()
    assert cgroups_of(runtime.id) == []
    assert mounts_below(tmp_path) == []
