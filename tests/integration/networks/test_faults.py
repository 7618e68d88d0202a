"""SIGKILL at every step of making, removing and pruning a network: it is there or it is not, and nothing else stays."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.household import IMAGE, SOURCE
from tests.integration.networks.host import Host
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "nft", "ip")]

_DRIVER = """
import os, signal, sys
source, root, run, verb, stride = sys.argv[1:]
sys.path.insert(0, source)
from utsuwa.engine.networks import Networks
from utsuwa.engine.paths import Paths
from utsuwa.errors import Conflict
from utsuwa.linux import rtnetlink
from utsuwa.network import bridge, plug
from utsuwa.network.cni import membership  # nothing is imported on the way

STEPS = ("os.", "open", "socket.bind", "socket.connect", "socket.__new__")
paths = Paths(root, run)
networks = Networks(paths)


def files():
    found = []
    for part in (networks.places.root, networks.places.run):
        for directory, folders, names in os.walk(part):
            found += [directory + "/" + name for name in folders + names]
    return sorted(found)


def make():
    return networks.create("fault", options={"com.docker.network.bridge.name": "utfault"})


def stand():
    try:
        network = networks.find("fault")
    except Exception:
        network = make()
    bridge.ensure(networks.places, network)
    return network


def attempt(step):
    'Do it, in a process that is killed before one step.'
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def watch(event, arguments):
        nonlocal left
        if event.startswith(STEPS):
            left -= 1
            if left < 0:
                signal.raise_signal(signal.SIGKILL)

    done = rtnetlink.Route.do

    def do(self, *messages):
        for message in messages:
            watch("os.do", ())
            done(self, message)

    rtnetlink.Route.do = do
    sys.addaudithook(watch)
    if verb == "create":
        make()
    elif verb == "stand":
        bridge.ensure(networks.places, networks.find("fault"))
    elif verb == "remove":
        networks.remove(networks.find("fault"))
    else:
        assert networks.prune(lambda network: True) == ["fault"]
    os._exit(0)


networks.all()
networks.remove(stand())
networks.prune(lambda network: True)
before = files()
step = 0
while True:
    if verb in ("remove", "prune"):
        stand()
    elif verb == "stand":
        make()
    killed = attempt(step)
    assert killed in (0, -9), killed
    there = "fault" in [network.name for network in networks.all()]
    if verb == "create" and not there:
        make()  # nothing is in the way
    elif there:
        try:
            make()
            sys.exit("made twice")
        except Conflict:
            pass
    network = None
    try:
        network = networks.find("fault")
    except Exception:
        pass
    if network:
        if verb != "create":
            bridge.ensure(networks.places, network)  # what is half removed can stand again
        networks.remove(network)
    networks.prune(lambda network: True)
    links = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
    assert not [name for name in links if name.startswith(("ut", "veth"))], (step, links)
    left = files()
    assert left == before, (step, set(left) ^ set(before))
    step += int(stride)
    if killed == 0:
        break
print(step)
"""


def test_killed_at_every_step(host: Host) -> None:
    for verb, stride, least in (("create", 1, 8), ("stand", 5, 20), ("remove", 2, 10), ("prune", 10, 10)):
        places = [str(SOURCE), str(host.root), str(host.run_directory)]
        words = [sys.executable, "-I", "-S", "-c", _DRIVER, *places, verb, str(stride)]
        done = subprocess.run([*host.enter, *words], capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, (verb, done.stderr.decode())
        assert int(done.stdout) >= least, verb
    host.ok("run", "--rm", IMAGE, "true")
