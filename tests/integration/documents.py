"""The examples of the documents: Python code, and under it what it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.household import Household
from tools.oci_image import busybox_layer, write_layout

ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """Code, and what it prints."""

    code: str
    printed: str


def examples(page: str) -> list[Example]:
    """Those of a page, in order."""
    found = [Example(*match) for match in _EXAMPLE.findall((ROOT / page).read_text())]
    assert found, f"{page} has no examples"
    return found


@pytest.fixture(scope="module")
def busybox_pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of a program on a machine where `busybox` has been pulled."""
    directory = tmp_path_factory.mktemp("documents")
    house = Household(directory)
    write_layout(directory / "image.tar", [busybox_layer()], "busybox:latest", {"Env": ["PATH=/bin"], "Cmd": ["sh"]})
    house.ok("load", "-i", str(directory / "image.tar"))
    yield house.environment
    house.end()
