"""What a program says of a container, as the request that the engine gets."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.library.options import request
from utsuwa.spec.request import NetworkWish, PublishedPort


def test_networks_and_ports_are_what_the_command_line_makes_of_them() -> None:
    asked = request("image", (), {"network": "name=lan,alias=web", "ports": ["8080:80", "127.0.0.1:53:53/udp"]})
    assert asked.network == "lan"
    assert asked.networks == (NetworkWish(network="lan", aliases=("web",)),)
    assert asked.networking.ports == (
        PublishedPort(port=80, host_port=8080),
        PublishedPort(port=53, protocol="udp", host_ip="127.0.0.1", host_port=53),
    )
    assert request("image", (), {"network": "host"}).networks == ()


def test_a_sysctl_of_the_whole_host_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not allowed"):
        request("image", (), {"sysctls": {"kernel.panic": "1"}})
