"""`utsuwa info`: this engine and this host (docker info)."""

from __future__ import annotations

import os

from utsuwa import __version__
from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted

VERB = Verb(
    "info [OPTIONS]",
    "Display system-wide information",
    (Option("format", "f", WORD, "Format output: 'json' or a Go template"),),
    most=0,
)


def run(words: list[str]) -> int:
    """Print it."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    facts = _facts(House())
    if arguments.text("format"):
        print(formatted(arguments.text("format"), {}, [_document(facts)]))
    else:
        for name, value in facts.items():
            print(f"{name}: {size(value) if name == 'Total Memory' and isinstance(value, int) else value}")
    return 0


_NAMES = {
    "Running": "ContainersRunning",
    "Paused": "ContainersPaused",
    "Stopped": "ContainersStopped",
    "Storage Driver": "Driver",
    "CPUs": "NCPU",
    "Total Memory": "MemTotal",
    "Utsuwa Root Dir": "DockerRootDir",
}
"""What Docker's document calls some facts; the others lose their spaces only."""


def _document(facts: dict[str, object]) -> dict[str, object]:
    named = {_NAMES.get(name, name.replace(" ", "")): value for name, value in facts.items()}
    return named | {
        "CgroupVersion": "2" if facts["Cgroup Version"] == "v2" else "1",
        "SecurityOptions": [f"name={name}" for name in str(facts["Security Options"]).split()],
    }


def _facts(house: House) -> dict[str, object]:
    from utsuwa.linux.host import in_user_namespace, probe

    driver, security = "cgroupfs", "seccomp"
    if in_user_namespace():
        from utsuwa.engine import delegation

        driver, security = delegation.driver().replace(delegation.FILES, driver), f"{security} rootless"
    states = [status.name for _record, status in house.containers.list(everything=True)]
    system, host = os.uname(), probe()
    return {
        "Containers": len(states),
        "Running": states.count("running") + states.count("restarting"),
        "Paused": states.count("paused"),
        "Stopped": len(states) - sum(states.count(each) for each in ("running", "restarting", "paused")),
        "Images": len(house.images.store.list()),
        "Server Version": __version__,
        "Storage Driver": type(house.images.snapshotter).__name__.removesuffix("Snapshotter").lower(),
        "Logging Driver": "json-file",
        "Cgroup Driver": driver,
        "Cgroup Version": host.cgroup_mode,
        "Default Runtime": "urun",
        "Security Options": security,
        "Kernel Version": system.release,
        "OSType": "linux",
        "Architecture": system.machine,
        "CPUs": os.cpu_count() or 1,
        "Total Memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": system.nodename,
        "Utsuwa Root Dir": house.paths.root,
        "Utsuwa Run Dir": house.paths.run,
    }
