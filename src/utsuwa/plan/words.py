"""Plain English for every operation: what ``urun explain`` prints and what an error of the kernel is appended to.

A file of its own, because a container that starts well never needs a word of it.
"""

from __future__ import annotations

from utsuwa.linux import memory, scheduling
from utsuwa.linux.capabilities import ALL
from utsuwa.linux.capabilities import names as capability_names
from utsuwa.linux.mounts import changes, propagation
from utsuwa.linux.namespaces import name, names
from utsuwa.linux.rlimits import RLIMITS, amount
from utsuwa.plan import ops
from utsuwa.plan.labels import KEYS, SELINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def describe(op: ops.Op) -> str:
    """What ``op`` asks of the kernel."""
    fixed = _FIXED.get(type(op))
    return fixed if fixed is not None else _COMPOSED[type(op)](op)


def _with(text: str, *remarks: str) -> str:
    """``text (remark, remark)`` without the empty remarks."""
    kept = ", ".join(remark for remark in remarks if remark)
    return f"{text} ({kept})" if kept else text


def _rlimit(op: ops.Rlimit) -> str:
    known = {number: limit for limit, number in RLIMITS.items()}
    return f"limit {known.get(op.resource, op.resource)} to {amount(op.soft)} (hard {amount(op.hard)})"


def _oom_score_adj(op: ops.OomScoreAdj) -> str:
    return f"set oom_score_adj to {op.value}"


def _attach_device_filter(op: ops.AttachDeviceFilter) -> str:
    return f"attach a device filter of {len(op.program) // 8} instructions to cgroup {op.cgroup}"


def _join_namespaces(op: ops.JoinNamespaces) -> str:
    pairs = [f"{name(kind)} {path}" for kind, path in zip(op.kinds, op.paths, strict=True)]
    return f"join namespaces: {', '.join(pairs)}"


def _enter(op: ops.Enter) -> str:
    return f"enter the container's {names(op.flags)} {_plural('namespace', op.flags)}"


def _clone(op: ops.Clone) -> str:
    new = f" in new {names(op.flags)} {_plural('namespace', op.flags)}" if op.flags else ""
    return f"start the container's process{new}" + (f", born in cgroup {op.cgroup}" if op.cgroup else "")


def _join_cgroups(op: ops.JoinCgroups) -> str:
    return f"join the cgroups {', '.join(op.directories)}"


def _write_cgroup(op: ops.WriteCgroup) -> str:
    return f"write in cgroup {op.directory}: {', '.join(op.lines)}"


def _unshare(op: ops.Unshare) -> str:
    return f"make a new {names(op.flags)} {_plural('namespace', op.flags)}"


def _ask(op: ops.Ask) -> str:
    return {
        ops.ID_MAPS: "ask the runtime to write the id maps",
        ops.CREATE_RUNTIME_HOOKS: "ask the runtime to run prestart and createRuntime hooks",
        ops.JOIN_SCOPE: "ask the runtime to have systemd put this process into the container's scope",
        ops.CGROUPS: "ask the runtime to make the container's cgroups",
        ops.READY: "ask the runtime to save the container's record",
    }[op.request]


def _session_keyring(op: ops.SessionKeyring) -> str:
    return f"join the session keyring {op.name}"


def _label(op: ops.Label) -> str:
    if op.files == KEYS:
        return f"label new keys {op.value}" if op.value.strip() else "label new keys as usual"
    module = "SELinux label" if op.files == SELINUX else "AppArmor profile"
    return f"put the program under {module} {op.value.removeprefix('exec ')}"


def _xattr(op: ops.Xattr) -> str:
    return f"set attribute {op.name} of {op.path} to {op.value}"


def _root_propagation(op: ops.RootPropagation) -> str:
    return f"make the host's mounts {propagation(op.flags)} here"


def _root_bind(op: ops.RootBind) -> str:
    return f"take {op.source} as the root"


def _root_overlay(op: ops.RootOverlay) -> str:
    count = len(op.lower)
    layers = f"{count} layer{'s' if count != 1 else ''}"
    over = f" under {op.upper}" if op.upper else ", read-only"
    return _with(f"mount an overlay of {layers}{over} at {op.at} as the root", *op.options)


def _mount(op: ops.Mount) -> str:
    remarks = [*changes(op.attributes), *op.options]
    remarks += [propagation(op.propagation)]
    remarks += ["content copied up" if op.flags & ops.COPY_UP else ""]
    remarks += [f"else bind {op.source}" if op.flags & ops.FALLBACK_BIND else ""]
    return _with(f"mount {op.fstype} at {op.target}", *remarks)


def _bind(op: ops.Bind) -> str:
    remarks = ["recursive" if op.recursive else ""]
    remarks += changes(op.set, op.clear)
    remarks += [f"{word} all the way down" for word in changes(op.rec_set, op.rec_clear)]
    remarks += [propagation(op.propagation), _id_map(op)]
    source = f"{op.source} ({op.subdirectory} in it)" if op.subdirectory else op.source
    return _with(f"bind {source} at {op.target}", *remarks)


def _id_map(op: ops.Bind) -> str:
    if not op.flags & ops.ID_MAP:
        return ""
    all_the_way = " all the way down" if op.flags & ops.ID_MAP_RECURSIVE else ""
    if not op.uid_map:
        return f"owners as the user namespace maps them{all_the_way}"
    return f"users mapped {_ranges(op.uid_map)}, groups {_ranges(op.gid_map)}{all_the_way}"


def _ranges(text: str) -> str:
    """``0-65535 to 100000`` for each line of a map."""
    found = []
    for line in text.splitlines():
        first, to, count = map(int, line.split())
        found.append(f"{first}-{first + count - 1} to {to}" if count > 1 else f"{first} to {to}")
    return " and ".join(found)


def _time_namespace(op: ops.TimeNamespace) -> str:
    return _with("make a new time namespace and enter it", *map(_clock, op.offsets.splitlines()))


def _clock(line: str) -> str:
    """``monotonic 7881.002718281 s`` of a line of /proc/PID/timens_offsets."""
    clock, _, offset = line.partition(" ")
    seconds, _, nanoseconds = offset.partition(" ")
    return f"{clock} {seconds}.{nanoseconds:0>9} s"


def _net_device(op: ops.NetDevice) -> str:
    return f"move network device {op.device} into the container" + (f" as {op.name}" if op.name else "")


def _memory_policy(op: ops.MemoryPolicy) -> str:
    flags = [name for name, bit in memory.FLAGS.items() if op.mode & bit]
    mode = _name(memory.MODES, op.mode & ~memory.ALL_FLAGS)
    nodes = ", ".join(map(str, _bits(op.nodes)))
    return _with(f"take memory by {mode}" + (f" from nodes {nodes}" if nodes else ""), *flags)


def _bits(mask: bytes) -> list[int]:
    number = int.from_bytes(mask, "little")
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def _open_sources(op: ops.OpenSources) -> str:
    return f"open {', '.join(op.paths)} with the caller's rights"


def _personality(op: ops.Personality) -> str:
    return f"take on the execution domain {_name(scheduling.DOMAINS, op.domain)}"


def _scheduler(op: ops.Scheduler) -> str:
    flags = [name for name, bit in scheduling.FLAGS.items() if op.flags & bit]
    timing = f"{op.runtime} of {op.period} ns within {op.deadline}" if op.runtime else ""
    remarks = (f"nice {op.nice}" if op.nice else "", f"priority {op.priority}" if op.priority else "", timing, *flags)
    return _with(f"be scheduled by {_name(scheduling.POLICIES, op.policy)}", *remarks)


def _io_priority(op: ops.IoPriority) -> str:
    return f"set the I/O priority to {op.priority} of {_name(scheduling.IO_CLASSES, op.kind)}"


def _cpu_affinity(op: ops.CpuAffinity) -> str:
    if op.mask == scheduling.ALL_CPUS:
        return "run on any processor"
    return f"run on processors {', '.join(map(str, _bits(op.mask))) or 'none'}"


def _name(table: dict[str, int], number: int) -> str:
    return next((name for name, value in table.items() if value == number), str(number))


def _remount(op: ops.Remount) -> str:
    words = " and ".join(changes(op.set, op.clear))
    if op.options:
        return _with(f"reconfigure the file system at {op.target}", *op.options) + (
            f" and make it {words}" if words else ""
        )
    return f"make {op.target} {words or 'as it is'}" + (" all the way down" if op.flags & ops.RECURSIVE else "")


def _propagate(op: ops.Propagate) -> str:
    return f"make the mount {op.target} {propagation(op.flags)}"


def _mknod(op: ops.Mknod) -> str:
    kind = {0o020000: "character device", 0o060000: "block device", 0o010000: "pipe"}[op.mode & 0o170000]
    number = "" if kind == "pipe" else f" {op.major}:{op.minor}"
    return f"make {kind}{number} at {op.path} (mode {op.mode & 0o7777:04o}, owner {op.uid}:{op.gid})"


def _symlink(op: ops.Symlink) -> str:
    return _with(f"link {op.path} to {op.target}", "replacing what is there" if op.replace else "")


def _mkdir(op: ops.Mkdir) -> str:
    return f"make directory {op.path} (mode {op.mode:04o})"


def _hook(op: ops.Hook) -> str:
    limit = f"at most {op.timeout / 1000:g} s" if op.timeout else ""
    return _with(f"run {ops.HOOK_KINDS[op.kind]} hook #{op.index}: {op.path}", limit)


def _chroot(op: ops.Chroot) -> str:
    return _with(f"chroot to {op.path}", "a read-only copy of the tree" if op.read_only else "")


def _mask(op: ops.Mask) -> str:
    return f"mask {op.path}"


def _readonly(op: ops.Readonly) -> str:
    return f"protect {op.path} from writing"


def _hostname(op: ops.Hostname) -> str:
    return f"set the host name to {op.name}"


def _domainname(op: ops.Domainname) -> str:
    return f"set the domain name to {op.name}"


def _sysctl(op: ops.Sysctl) -> str:
    return f"set sysctl {op.key} to {op.value}"


def _console(op: ops.Console) -> str:
    size = f"{op.columns}x{op.rows}" if op.rows or op.columns else ""
    device, plain = "as /dev/console" if op.device else "", "new lines as they are" if op.plain else ""
    return _with("open a terminal and send it to the console socket", size, device, plain)


def _workdir(op: ops.Workdir) -> str:
    return f"make the working directory {op.path} where it is missing"


def _find_user(op: ops.FindUser) -> str:
    return f"look up user {op.user} in the container's /etc/passwd and /etc/group"


def _set_home(op: ops.SetHome) -> str:
    return f"set HOME to the home of uid {op.uid}"


def _drop_bounding(op: ops.DropBounding) -> str:
    if not op.keep:
        return "drop all capabilities from the bounding set"
    return f"drop all capabilities but {_listed(op.keep)} from the bounding set"


def _set_identity(op: ops.SetIdentity) -> str:
    groups = f"groups {','.join(map(str, op.groups))}" if op.groups else "no further groups"
    kept = "the caller's groups" if op.keep_groups else groups
    return f"become user {op.uid}:{op.gid} ({kept}, umask {op.umask:04o})"


def _capabilities(op: ops.Capabilities) -> str:
    masks = [(field, getattr(op, field)) for field in op.fields]
    if not any(mask for _, mask in masks):
        return "keep no capabilities"
    same: dict[int, list[str]] = {}
    for field, mask in masks:
        same.setdefault(mask, []).append(field)
    return "set capabilities: " + "; ".join(f"{', '.join(kinds)} {_listed(mask)}" for mask, kinds in same.items())


def _seccomp(op: ops.Seccomp) -> str:
    asking = "its listener to the parent" if op.flags & ops.NEW_LISTENER else ""
    return _with(f"load a seccomp filter of {len(op.program) // 8} instructions", asking)


def _chdir(op: ops.Chdir) -> str:
    return _with(f"change to directory {op.path}", "tried again as the user" if op.may_fail else "")


def _find_executable(op: ops.FindExecutable) -> str:
    where = "" if "/" in op.file else f" in {op.search or 'an empty PATH'}"
    return f"find executable {op.file}{where}"


def _exec(op: ops.Exec) -> str:
    return f"execute {' '.join(_quoted(word) for word in op.args)}"


def _stdio_owner(op: ops.StdioOwner) -> str:
    return f"give pipes among the standard streams to {op.uid}:{op.gid}"


def _unmount(op: ops.Unmount) -> str:
    return f"unmount {op.target}"


def _plural(noun: str, flags: int) -> str:
    return noun if flags & (flags - 1) == 0 else noun + "s"


def _listed(mask: int) -> str:
    """Capability names in order; a mask of all of them would be a paragraph."""
    return "all that exist" if mask == ALL else ", ".join(capability_names(mask)) or "none"


def _quoted(word: str) -> str:
    """A word as a shell would want it, so that ``sh -c 'a b'`` reads unambiguously."""
    plain = word and all(letter.isalnum() or letter in "%+,-./:=@_" for letter in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"


_FIXED: dict[type[ops.Op], str] = {
    ops.BecomeRoot: "become root of the user namespace",
    ops.NewSession: "start a new session",
    ops.LoopbackUp: "bring the loopback interface up",
    ops.NetlinkSockets: "give the runtime sockets to set up this network from outside",
    ops.NotDumpable: "forbid tracing and reading this process",
    ops.Pivot: "pivot into the root and let go of the host's file systems",
    ops.MoveRoot: "move the root over the host's file systems and chroot into it",
    ops.NoNewPrivs: "give up gaining privileges by exec (no_new_privs)",
    ops.AwaitPlan: "wait for the rest of the plan, as it will be for the container that is wanted",
    ops.AwaitStart: "wait for start",
    ops.Deputy: "leave a deputy outside, with the caller's rights",
    ops.Dismiss: "dismiss the deputy",
    ops.Supervise: "stay as init, and go on in a child",
    ops.ReopenNull: "put the container's /dev/null in the place of the host's among the standard streams",
}

_COMPOSED: dict[type[ops.Op], Callable[[Any], str]] = {
    ops.Rlimit: _rlimit,
    ops.OomScoreAdj: _oom_score_adj,
    ops.AttachDeviceFilter: _attach_device_filter,
    ops.JoinNamespaces: _join_namespaces,
    ops.Enter: _enter,
    ops.Clone: _clone,
    ops.JoinCgroups: _join_cgroups,
    ops.WriteCgroup: _write_cgroup,
    ops.Unshare: _unshare,
    ops.Ask: _ask,
    ops.SessionKeyring: _session_keyring,
    ops.RootPropagation: _root_propagation,
    ops.RootBind: _root_bind,
    ops.RootOverlay: _root_overlay,
    ops.Mount: _mount,
    ops.Bind: _bind,
    ops.Remount: _remount,
    ops.Propagate: _propagate,
    ops.Mknod: _mknod,
    ops.Symlink: _symlink,
    ops.Mkdir: _mkdir,
    ops.Hook: _hook,
    ops.Chroot: _chroot,
    ops.Mask: _mask,
    ops.Readonly: _readonly,
    ops.Hostname: _hostname,
    ops.Domainname: _domainname,
    ops.Sysctl: _sysctl,
    ops.Console: _console,
    ops.Workdir: _workdir,
    ops.FindUser: _find_user,
    ops.SetHome: _set_home,
    ops.DropBounding: _drop_bounding,
    ops.SetIdentity: _set_identity,
    ops.Capabilities: _capabilities,
    ops.Seccomp: _seccomp,
    ops.Chdir: _chdir,
    ops.FindExecutable: _find_executable,
    ops.Exec: _exec,
    ops.StdioOwner: _stdio_owner,
    ops.OpenSources: _open_sources,
    ops.Personality: _personality,
    ops.Scheduler: _scheduler,
    ops.IoPriority: _io_priority,
    ops.CpuAffinity: _cpu_affinity,
    ops.Unmount: _unmount,
    ops.TimeNamespace: _time_namespace,
    ops.NetDevice: _net_device,
    ops.MemoryPolicy: _memory_policy,
    ops.Label: _label,
    ops.Xattr: _xattr,
}
