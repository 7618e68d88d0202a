"""The examples of the documents, run as they stand: what they print is what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.household import Household
from tests.needs import needs
from tools.oci_image import busybox_layer, write_layout

pytestmark = [needs("root", "overlay", "busybox")]
ROOT = Path(__file__).resolve().parents[3]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_PROGRAM = """
import sys
for code in sys.stdin.read().split("\\0"):
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    print("\\0", end="", flush=True)
"""


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
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of a program on a machine where `busybox` has been pulled."""
    directory = tmp_path_factory.mktemp("documents")
    house = Household(directory)
    write_layout(directory / "image.tar", [busybox_layer()], "busybox:latest", {"Env": ["PATH=/bin"], "Cmd": ["sh"]})
    house.ok("load", "-i", str(directory / "image.tar"))
    yield house.environment
    house.end()


@pytest.mark.parametrize("page", ["docs/library.md", "README.md"])
def test_examples_print_what_the_page_says(page: str, environment: dict[str, str]) -> None:
    found = examples(page)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM],
        input="\0".join(example.code for example in found),
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split("\0")[:-1] == [example.printed for example in found]


@pytest.mark.parametrize("page", ["docs/library.md", "README.md"])
def test_examples_are_typed(page: str, tmp_path: Path) -> None:
    """A user's `mypy --strict` has nothing to say."""
    mypy = Path(sys.executable).with_name("mypy")
    if not os.access(mypy, os.X_OK):
        pytest.skip("needs mypy")
    for number, example in enumerate(examples(page)):
        (tmp_path / f"example{number}.py").write_text(example.code)
    done = subprocess.run(
        [mypy, "--strict", "--no-error-summary", "--cache-dir", ROOT / ".mypy_cache" / "users", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=100,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0)
