"""What a plan depends on besides the configuration and the host: what the caller of the runtime decided."""

from __future__ import annotations

from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from utsuwa.spec.mount import Mount

    class Program(Protocol):
        """A compiled seccomp filter: an array of struct sock_filter, and the flags of seccomp(2)."""

        filter: bytes
        flags: int

    StateJson = Callable[[str], tuple[str, str]]


class CgroupJoin(Record):
    """The container's cgroups on this host.

    ``unified``: the v2 directory to be born in, "" for none. ``v1``: directories whose ``tasks`` the process joins.
    ``scope``: the unit of systemd that stage 1 asks to be put into, "" for none: its child is then born where it is.
    ``mounts``: controller -> the container's own directory, which cgroup mounts of v1 bind. ``device_lines``: what
    guards devices on v1, see ``Manager.device_lines``. ``resctrl``: directories of the resctrl file system, whose
    ``tasks`` the process joins as well.
    """

    unified: str = ""
    v1: tuple[str, ...] = ()
    scope: str = ""
    mounts: Mapping[str, str] = {}
    device_lines: tuple[str, ...] = ()
    resctrl: tuple[str, ...] = ()


class CreateOptions(Record):
    """How one container is created.

    ``bundle``, ``root``: absolute host directories. ``root_mounts``: what the plan mounts at ``root`` first (target "")
    and beneath it. ``device_filter``: eBPF instructions for the v2 cgroup. ``foreground``: the console's master ends at
    a terminal, ours. ``keyring``: name of the session keyring, None for none. ``preserve_fds``: how many descriptors
    after 2 stay open. ``user``: ``name|uid[:group|gid]`` to be looked up in the container instead of ``process.user``.
    ``init``: a reaper stays as the first process. ``seccomp``: the compiled ``linux.seccomp``. ``ahead``: CLONE_NEW*
    bits of namespaces that the executor has made before it gets the plan, with the loopback interface of a new network
    up. ``cgroups_later``: the v1 cgroups are made while the process mounts, which asks for them when it needs them.
    ``network``: the runtime is given sockets to set up the new network namespace with.
    ``security_modules``: those at work, of apparmor and selinux. ``state_json``: status -> the state document in
    front of and behind the pid, for hooks.
    """

    bundle: str
    root: str
    root_mounts: tuple[Mount, ...] = ()
    cgroup: CgroupJoin | None = None
    device_filter: bytes | None = None
    console: bool = False
    foreground: bool = False
    await_start: bool = True
    no_pivot: bool = False
    keyring: str | None = None
    preserve_fds: int = 0
    user: str | None = None
    init: bool = False
    seccomp: Program | None = None
    ahead: int = 0
    cgroups_later: bool = False
    network: bool = False
    security_modules: tuple[str, ...] = ()
    state_json: StateJson | None = None


class ExecOptions(Record):
    """How one more process is started in a container; the fields mean the same as those of CreateOptions.

    ``root`` is used only where the container has no mount namespace of its own.
    """

    root: str = "/"
    cgroup: CgroupJoin | None = None
    console: bool = False
    foreground: bool = False
    keyring: str | None = None
    preserve_fds: int = 0
    user: str | None = None
    seccomp: Program | None = None
    security_modules: tuple[str, ...] = ()
