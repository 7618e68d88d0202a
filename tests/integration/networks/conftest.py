"""One host for all tests of networks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.household import until
from tests.integration.networks.host import Host


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("networks")
    host = Host(directory)
    host.load(directory)
    yield host
    host.end()


@pytest.fixture
def host(shared: Host) -> Iterator[Host]:
    yield shared
    for line in shared("ps", "-aq").stdout.decode().split():
        shared("rm", "-f", line)
    shared("network", "prune", "-f")
    until(lambda: shared.left() == [], shared.left)
