"""`utsuwa info`: this engine and this host (docker info)."""

from __future__ import annotations

import os

from utsuwa import __version__
from utsuwa.cli.flags import WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.images import size
from utsuwa.cli.listing import formatted
from utsuwa.monitor.records import now

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
    from utsuwa.engine.runtimes import installed

    mode = facts["Cgroup Version"]
    limited = ("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")
    security = [f"name={name}" for name in str(facts["Security Options"]).split()]
    security += ["name=cgroupns"] if mode == "v2" else []
    return named | {
        "CgroupVersion": "2" if mode == "v2" else "1",
        "SecurityOptions": security,
        "OperatingSystem": _release("PRETTY_NAME"),
        "OSVersion": _release("VERSION_ID"),
        "SystemTime": now(),
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "cni", "host", "null"],
            "Authorization": None,
            "Log": ["journald", "json-file", "local", "none"],
        },
        "Runtimes": {name: {"path": path} for name, path in installed().items()},
        **dict.fromkeys(limited, mode != "none"),
        "OomKillDisable": mode in ("v1", "hybrid"),
        "IPv4Forwarding": _is_on("/proc/sys/net/ipv4/ip_forward"),
        "LiveRestoreEnabled": True,
        "ExperimentalBuild": False,
        "InitBinary": "utsuwa-init",
        "Isolation": "",
        "Labels": [],
        "Swarm": {"NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": False},
        "Warnings": None,
    }


def _release(name: str) -> str:
    """A field of os-release(5), "" where there is none."""
    try:
        with open("/etc/os-release") as file:
            fields = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except OSError:
        return ""
    return fields.get(name, "").strip("\"'")


def _is_on(path: str) -> bool:
    try:
        with open(path) as file:
            return file.read().strip() == "1"
    except OSError:
        return False


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
