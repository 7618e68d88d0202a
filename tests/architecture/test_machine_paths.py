"""What is checked in belongs to no particular machine."""

from __future__ import annotations

import re
import subprocess

from tests.architecture.sources import ROOT

# Where work trees are mounted.  In two parts, so as not to find itself.
_PRIVATE = re.compile(rb"/wo" + rb"rk/(?:main|shared|\.)|/tm" + rb"p/u/")


def _files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_private_place() -> None:
    files = _files()
    assert len(files) > 50
    found = {name: match[0].decode() for name in files if (match := _PRIVATE.search((ROOT / name).read_bytes()))}
    assert found == {}


def test_no_built_file_is_checked_in() -> None:
    built = (".pyc", ".o", ".so", ".whl", "utsuwa-init", "utsuwa-guard")
    assert [name for name in _files() if name.endswith(built)] == []
