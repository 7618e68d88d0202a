"""What every test shares: the `needs` gate."""

from __future__ import annotations

import pytest

from tests.needs import enforce


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the declared needs before any fixture of the test is made."""
    for mark in item.iter_markers("needs"):
        enforce(*mark.args)
