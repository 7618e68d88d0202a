"""What every test shares: the `needs` gate, and signals that are as they were."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.needs import enforce

# Containers of the tests get no bridge: this network namespace may be the host's. Tests of networks have their own.
os.environ["UTSUWA_NETWORK"] = "none"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the declared needs before any fixture of the test is made."""
    for mark in item.iter_markers("needs"):
        enforce(*mark.args)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A runtime that failed blocks the signals that end programs, and so would all that later tests start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
