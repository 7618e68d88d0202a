"""What validation checks and what the plan then does must read a value in the same way."""

from __future__ import annotations

import pytest

from utsuwa.linux import mounts
from utsuwa.plan import namespaces
from utsuwa.spec import validate, validate_linux


def test_the_same_mount_options_are_understood() -> None:
    assert set(mounts.WORDS) == validate.FLAG_OPTIONS
    assert set(mounts.PROPAGATIONS) == validate.PROPAGATIONS


@pytest.mark.parametrize(
    "key",
    [
        "net.ipv4.ip_forward",
        "net/ipv4/conf/eth0.1/x",
        "net.ipv4.conf.eth0/1.x",
        "a",
        "",
        ".",
        "/.",
        "./",
        "a/.b",
        "a./b",
    ],
)
def test_the_same_kernel_setting_is_meant(key: str) -> None:
    assert validate_linux.sysctl_path(key) == namespaces.sysctl_path(key)
