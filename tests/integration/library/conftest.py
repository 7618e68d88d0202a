"""An engine in this process, with its state in a directory of its own, and nothing of it left after any test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import utsuwa
from tests.integration.household import IMAGE, Household


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("library")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture
def engine(house: Household) -> Iterator[utsuwa.Engine]:
    engine = utsuwa.Engine(house.root, house.run_directory)
    yield engine
    left = engine.containers.list(all=True)
    for container in left:
        container.remove(force=True)
    assert left == []
    assert house.leftovers() == []


@pytest.fixture
def box(engine: utsuwa.Engine) -> Iterator[utsuwa.Container]:
    """A container that waits."""
    with engine.start(IMAGE, ["sleep", "1000"], init=True) as container:
        yield container


@pytest.fixture
def archive(house: Household) -> Path:
    """The image as a file."""
    return house.root.parent / "image.tar"
