"""The examples of the documents, run as they stand: what they print is what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.documents import ROOT, busybox_pulled, examples  # noqa: F401
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]
PROGRAM = """
import sys
for code in sys.stdin.read().split("\\0"):
    exec(compile(code, "example", "exec"), {"__name__": "__main__"})
    print("\\0", end="", flush=True)
"""


@pytest.mark.parametrize("page", ["docs/library.md", "README.md"])
def test_examples_print_what_the_page_says(page: str, busybox_pulled: dict[str, str]) -> None:  # noqa: F811
    found = examples(page)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        input="\0".join(example.code for example in found),
        capture_output=True,
        text=True,
        env=busybox_pulled,
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
