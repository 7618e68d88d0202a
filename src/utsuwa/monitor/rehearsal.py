"""Everything that a start does, done once in the forkserver without effect, so that no monitor does it for the first
time.

First times are dear: an import takes 0.3 to 1 ms, putting a record's decoder together 0.1 ms, and CPython 3.11 rewrites
its byte code while it runs for the first times, in memory that the monitors would rather go on sharing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

_PACKAGES = ("cgroup", "init", "linux", "monitor", "network", "plan", "runtime", "seccomp", "spec")
_STRANGERS = (
    *("features", "explain", "ps", "list", "compile", "assembler", "profile", "syscalls", "flags", "foreign"),
    *("mounting", "seldom_flags", "mount_flag", "network_flags", "resolver", "directory", "dns"),
    *("gate", "relay", "uplink", "summoned", "sweeping"),
)
"""Modules of those packages that no start needs."""
_TIMES = 3
_ID = "0" * 64
_config: list[bytes] = []


def rehearse() -> None:
    """Import all, seal the executor, and make the plan of a container like the engine's some times."""
    _import_all()
    from utsuwa.init.spawn import sealed

    sealed()
    _config.append(_make_config())
    for _ in range(_TIMES):
        warm()


def warm() -> None:
    """Go through a start's computations, for the sake of the code that specialises itself on the way."""
    _plan(_config[0])
    _speak()


def _import_all() -> None:
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for package in _PACKAGES:
        for name in sorted(os.listdir(f"{root}/{package}")):
            module, dot, suffix = name.partition(".")
            if dot and suffix == "py" and module not in _STRANGERS:
                __import__(f"utsuwa.{package}.{module}" if module != "__init__" else f"utsuwa.{package}")
    __import__("utsuwa.snapshot.keyed")


def _make_config() -> bytes:
    """A configuration with everything that the engine's containers have."""
    from utsuwa.seccomp.program import native_architecture
    from utsuwa.spec.codec import dumps, encode
    from utsuwa.spec.default import MASKED_PATHS, READONLY_PATHS, default_spec
    from utsuwa.spec.runtime import DeviceRule, Memory, Mount, Pids, Resources, Root, Seccomp, SyscallArg, SyscallRule

    spec = default_spec()
    process, linux = spec.process, spec.linux
    assert process is not None and linux is not None
    argument = SyscallArg(index=0, value=1, op="SCMP_CMP_EQ")
    seccomp = Seccomp(
        defaultAction="SCMP_ACT_ERRNO",
        defaultErrnoRet=1,
        architectures=(native_architecture(),),
        syscalls=(
            SyscallRule(names=("read", "write"), action="SCMP_ACT_ALLOW"),
            SyscallRule(names=("socket",), action="SCMP_ACT_ALLOW", args=(argument,)),
        ),
    )
    resources = Resources(
        devices=(
            DeviceRule(allow=False, access="rwm"),
            DeviceRule(allow=True, type="c", major=1, minor=3, access="rwm"),
        ),
        memory=Memory(limit=1 << 28, swap=1 << 29),
        pids=Pids(limit=100),
    )
    bind = Mount(destination="/etc/hosts", type="bind", source="/etc/hosts", options=("rbind", "rprivate"))
    spec = spec.replace(
        process=process.replace(terminal=False),
        root=Root(path="."),
        mounts=(*(spec.mounts or ()), bind),
        linux=linux.replace(
            cgroupsPath=f"/utsuwa/{_ID}",
            resources=resources,
            seccomp=seccomp,
            maskedPaths=MASKED_PATHS,
            readonlyPaths=READONLY_PATHS,
            sysctl={"net.ipv4.ip_unprivileged_port_start": "0"},
        ),
    )
    return dumps(encode(spec)).encode()


def _plan(config: bytes) -> None:
    """From bytes to bytes: decode, validate, plan, encode; and back. Nothing is touched outside of this process."""
    from utsuwa.cgroup.filesystem import load
    from utsuwa.linux.host import probe
    from utsuwa.runtime.bundle import Bundle
    from utsuwa.runtime.draft import CreateRequest, Draft
    from utsuwa.runtime.kept import Kept
    from utsuwa.seccomp.cache import key
    from utsuwa.spec.codec import decode, dumps, encode, parse
    from utsuwa.spec.mount import Mount
    from utsuwa.spec.runtime import Spec
    from utsuwa.spec.validate import validate

    spec: Spec = decode(Spec, parse(config))
    validate(spec)
    assert spec.linux is not None and spec.linux.seccomp is not None
    key(spec.linux.seccomp, "")
    root = Mount(type="overlay", source="overlay", options=("lowerdir=/a:/b", "upperdir=/c", "workdir=/d"))
    request = CreateRequest(id=_ID, bundle="/", root_mounts=(root,), user="0")
    bundle = Bundle("/", config, spec.replace(linux=spec.linux.replace(seccomp=None)), "/")
    host = probe()
    draft = Draft.make(request, bundle, host)
    dumps(encode(draft.document))
    draft.settle("")
    load(draft.manager.save())
    expected = Kept("", request, bundle).expected(draft, host)
    Kept("", request, bundle, expected).recall(host)


def _speak() -> None:
    """The monitor's own documents."""
    from utsuwa.monitor.records import Exit, Head, Run, Start, now
    from utsuwa.spec.codec import decode, dumps, encode, parse
    from utsuwa.spec.mount import Mount

    mount = Mount(type="overlay", source="overlay", options=("lowerdir=/a", "upperdir=/b"))
    start = Start(id=_ID, directory="/", run="/", mounts=(mount,), volumes=("/a",), user="0", attach=True)
    document = parse(dumps(encode(start)).encode())
    decode(Head, document)
    decode(Start, document)
    dumps(encode(Run(number=1, monitor=1, monitorStart=1, startedAt=now())))
    dumps(encode(Exit(number=1, exitCode=0)))
