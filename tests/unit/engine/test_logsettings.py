"""What log drivers are told."""

from __future__ import annotations

import pytest

from utsuwa.engine.logsettings import FILES, LIMIT, Names, attributes, sizes
from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec.flags import parse_logging
from utsuwa.spec.request import Logging

NAMES = Names("f" * 64, "cc", "busybox:1", "sha256:" + "a" * 64)


@pytest.mark.parametrize(
    ("driver", "options", "told"),
    [
        ("json-file", [], (LIMIT, FILES, False)),
        ("json-file", ["max-size=1m"], (1 << 20, 1, False)),
        ("json-file", ["max-size=-1"], (0, 1, False)),
        ("json-file", ["max-file=3", "compress=true"], (LIMIT, 3, True)),
        ("local", [], (LIMIT, FILES, True)),
        ("local", ["max-size=1m", "compress=false"], (1 << 20, FILES, False)),
        ("none", [], (0, 1, False)),
    ],
)
def test_disks_are_not_filled(driver: str, options: list[str], told: tuple[int, int, bool]) -> None:
    assert sizes(parse_logging(driver, options)) == told


def test_what_stands_beside_every_line() -> None:
    options = ["labels=stage,nosuch", "env=A", "env-regex=^X", "tag={{.Name}}/{{.ID}}"]
    found = attributes(parse_logging("json-file", options), NAMES, {"stage": "test", "b": "c"}, ["A=1", "XY=2", "Z=3"])
    assert found == {"stage": "test", "A": "1", "XY": "2", "tag": f"cc/{'f' * 12}"}
    assert attributes(Logging(), NAMES, {"stage": "test"}, ["A=1"]) == {}


@pytest.mark.parametrize("options", [["tag={{.Nothing}}"], ["tag={{.Name"], ["labels-regex=("]])
def test_mistakes(options: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="log-opt"):
        attributes(parse_logging("json-file", options), NAMES, {"a": "b"}, [])


def test_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="compress cannot be true"):
        parse_logging("json-file", ["compress=true", "max-file=1"])
    with pytest.raises(Unsupported, match="mode=non-blocking"):
        parse_logging("json-file", ["mode=non-blocking"])
