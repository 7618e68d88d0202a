"""A layer applied to a fresh directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from utsuwa.snapshot import apply, tar, tree

Apply = Callable[..., apply.Outcome]


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Where :func:`unpack` unpacks."""
    made = tmp_path / "layer"
    made.mkdir()
    return made


@pytest.fixture
def unpack(layer: Path) -> Iterator[Apply]:
    """Apply an archive to ``layer``, in pieces of an odd size so that nothing relies on where they end."""
    umask = os.umask(0)
    top = os.open(layer, tree.DIRECTORY_FLAGS)

    def run(data: bytes, limits: apply.Limits | None = None) -> apply.Outcome:
        pieces = (data[at : at + 777] for at in range(0, len(data), 777))
        return apply.apply(tar.Stream(pieces), top, limits)

    yield run
    os.close(top)
    os.umask(umask)
