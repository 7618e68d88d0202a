"""The library's networks, in a program that runs on a host of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.household import IMAGE
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_PROGRAM = """
import asyncio, sys
import utsuwa
from utsuwa import aio

image = sys.argv[1]
lan = utsuwa.networks.create("lan", subnet="10.45.0.0/24", labels={"a": "b"})
assert (lan.driver, lan.gateways, lan.internal, lan.labels) == ("bridge", ("10.45.0.1",), False, {"a": "b"})
assert utsuwa.networks.get("lan") == lan == utsuwa.networks.get(lan.id[:12])
six = utsuwa.networks.create("six", subnet=["10.46.0.0/24", "fd46::/64"], gateway="fd46::9", ipv6=True)
assert six.gateways == ("10.46.0.1", "fd46::9")
with utsuwa.start(image, ["sleep", "60"], network=["name=lan,alias=db", "six"]) as box:
    asked = ["busybox", "nslookup", "db"]
    assert "10.45.0.2" in utsuwa.run(image, asked, network="lan").text
    try:
        utsuwa.networks.remove("lan")
        raise SystemExit("it was removed")
    except utsuwa.Conflict:
        pass
    utsuwa.networks.disconnect("lan", box)
    assert "eth0" not in box.exec("ip link").text
    utsuwa.networks.connect("name=lan,ip=10.45.0.77", box)
    assert "10.45.0.77" in box.exec("ip addr").text
assert set(utsuwa.networks.prune()) == {"lan", "six"}

async def main():
    lan = await aio.networks.create("lan", internal=True)
    assert lan in await aio.networks.list()
    async with aio.start(image, ["sleep", "60"], network="none") as box:
        try:
            await aio.networks.connect("lan", box)
        except utsuwa.PermissionDenied:
            pass
    async with aio.start(image, ["sleep", "60"], network="bridge") as box:
        await aio.networks.connect("lan", box)
        assert "eth1" in (await box.exec("ip link")).text
        await aio.networks.disconnect("lan", box)
        assert "eth1" not in (await box.exec("ip link")).text
    await aio.networks.remove("lan")
    assert await aio.networks.prune() == []

asyncio.run(main())
"""


def test_a_program_has_networks(host: Host) -> None:
    done = subprocess.run(
        [*host.enter, sys.executable, "-W", "error", "-c", _PROGRAM, IMAGE],
        capture_output=True,
        timeout=60,
        env=host.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
