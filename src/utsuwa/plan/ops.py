"""The operations a plan is made of: one class per row of ``init/c/ops.def``, same codes, same fields, same order.

An operation is a frozen record. Its annotations name the fields and how each travels to the executor:

    Number   one 64-bit integer (negative values in two's complement)         wire letter u
    Text     a string, possibly empty                                         s
    Texts    a tuple of strings                                               l
    Bytes    bytes                                                            b
    Numbers  a tuple of 64-bit integers                                       n
    Slot     the name of a descriptor that the caller supplies, "" for none   f

``describe()`` says in plain English what the operation does; an error of the kernel is appended to it, and ``urun explain``
prints it. "in-root" paths are resolved by the executor beneath the container's root; all other paths are the host's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, dataclass_transform

    Number = int
    Text = str
    Texts = tuple[str, ...]
    Bytes = bytes
    Numbers = tuple[int, ...]
    Slot = str
else:

    def dataclass_transform(**_options):
        """Type checkers read the real one; at run time it does nothing."""
        return lambda cls: cls


_LETTERS = {"Number": "u", "Text": "s", "Texts": "l", "Bytes": "b", "Numbers": "n", "Slot": "f"}

# Slots: descriptors that the runtime hands to init.spawn by name.
CONSOLE_SOCKET = "console-socket"
START_LISTENER = "start-listener"
PIDFD = "pidfd"

# Requests of ASK: what the parent does before the child goes on.
ID_MAPS = 1
CREATE_RUNTIME_HOOKS = 2
READY = 3

# Flags of MOUNT.
COPY_UP = 1
INHERIT_MODE = 2
ORDINARY_DIRECTORY = 4
FALLBACK_BIND = 8

# Flags of BIND.
NO_FOLLOW = 2

# Flags of REMOUNT.
RECURSIVE = 1

# Kinds of HOOK, in the order of their life.
CREATE_CONTAINER = 1
START_CONTAINER = 2
HOOK_KINDS = ("", "createContainer", "startContainer")


@dataclass_transform(kw_only_default=False, frozen_default=True)
class Op:
    """Base of all operations: positional or named values, equality, and no change after birth."""

    code: ClassVar[int] = 0
    fields: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[str] = ""
    required: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        annotations = cls.__dict__.get("__annotations__", {})
        cls.fields = tuple(annotations)
        cls.types = "".join([_LETTERS[kind] for kind in annotations.values()])
        cls.required = len([name for name in annotations if name not in cls.__dict__])

    def __init__(self, *values: object, **named: object) -> None:
        state = self.__dict__
        fields = self.fields
        state.update(zip(fields, values))  # noqa: B905 - too many values are counted below
        if named:
            state.update(named)
        complete = len(values) >= self.required or state.keys() >= set(fields[: self.required])
        if len(state) != len(values) + len(named) or not complete or (named and not state.keys() <= set(fields)):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields) or 'nothing'}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be changed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.code, self.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.fields)})"

    def values(self) -> tuple[object, ...]:
        """The field values in wire order."""
        return tuple([getattr(self, name) for name in self.fields])

    def describe(self) -> str:
        """What the kernel is asked for, in words."""
        raise NotImplementedError


def _with(text: str, *remarks: str) -> str:
    """``text (remark, remark)`` without the empty remarks."""
    kept = ", ".join(remark for remark in remarks if remark)
    return f"{text} ({kept})" if kept else text


class Rlimit(Op):
    """prlimit(2) on itself; amounts are bytes, seconds or counts, all ones for no limit."""

    code = 1
    resource: Number
    soft: Number
    hard: Number

    def describe(self) -> str:
        from utsuwa.linux.rlimits import RLIMITS, amount

        names = {number: name for name, number in RLIMITS.items()}
        return f"limit {names.get(self.resource, self.resource)} to {amount(self.soft)} (hard {amount(self.hard)})"


class OomScoreAdj(Op):
    """Write /proc/self/oom_score_adj (proc(5)) while the host's proc is still the one in view."""

    code = 2
    value: Number

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"


class AttachDeviceFilter(Op):
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program and attach it to a v2 cgroup (bpf(2))."""

    code = 3
    cgroup: Text
    program: Bytes

    def describe(self) -> str:
        return f"attach a device filter of {len(self.program) // 8} instructions to cgroup {self.cgroup}"


class JoinNamespaces(Op):
    """Open every path, check its type by NS_GET_NSTYPE, then setns(2): those that need no user namespace, user, the rest."""

    code = 4
    kinds: Numbers
    paths: Texts

    def describe(self) -> str:
        from utsuwa.linux.namespaces import name

        pairs = [f"{name(kind)} {path}" for kind, path in zip(self.kinds, self.paths, strict=True)]
        return f"join namespaces: {', '.join(pairs)}"


class Enter(Op):
    """setns(2) by pidfd into several namespaces at once; for exec."""

    code = 5
    pidfd: Slot
    flags: Number

    def describe(self) -> str:
        from utsuwa.linux.namespaces import names

        return f"enter the container's {names(self.flags)} {_plural('namespace', self.flags)}"


class Clone(Op):
    """clone3(2): the process that goes on with the rest of the plan; ``cgroup`` by CLONE_INTO_CGROUP."""

    code = 6
    flags: Number
    cgroup: Text = ""

    def describe(self) -> str:
        from utsuwa.linux.namespaces import names

        new = f" in new {names(self.flags)} {_plural('namespace', self.flags)}" if self.flags else ""
        return f"start the container's process{new}" + (f", born in cgroup {self.cgroup}" if self.cgroup else "")


class JoinCgroups(Op):
    """Write 0 to ``tasks`` of each v1 cgroup: ``cgroup.procs`` would cost an RCU grace period."""

    code = 7
    directories: Texts

    def describe(self) -> str:
        return f"join the cgroups {', '.join(self.directories)}"


class Unshare(Op):
    """unshare(2)."""

    code = 8
    flags: Number

    def describe(self) -> str:
        from utsuwa.linux.namespaces import names

        return f"make a new {names(self.flags)} {_plural('namespace', self.flags)}"


class Ask(Op):
    """Report a request to the parent and wait for its answer."""

    code = 9
    request: Number

    def describe(self) -> str:
        return {
            ID_MAPS: "ask the runtime to write the id maps",
            CREATE_RUNTIME_HOOKS: "ask the runtime to run prestart and createRuntime hooks",
            READY: "ask the runtime to save the container's record",
        }[self.request]


class BecomeRoot(Op):
    """Become 0:0 without groups in a new user namespace (user_namespaces(7))."""

    code = 10

    def describe(self) -> str:
        return "become root of the user namespace"


class NewSession(Op):
    """setsid(2)."""

    code = 11

    def describe(self) -> str:
        return "start a new session"


class SessionKeyring(Op):
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING; a kernel without keys is no error."""

    code = 12
    name: Text

    def describe(self) -> str:
        return f"join the session keyring {self.name}"


class LoopbackUp(Op):
    """Set IFF_UP on lo (netdevice(7))."""

    code = 13

    def describe(self) -> str:
        return "bring the loopback interface up"


class NotDumpable(Op):
    """prctl(2) PR_SET_DUMPABLE 0: nobody inside may read this process (CVE-2016-9962)."""

    code = 14

    def describe(self) -> str:
        return "forbid tracing and reading this process"


class RootPropagation(Op):
    """Change the propagation of the whole copied mount tree (mount_namespaces(7))."""

    code = 15
    flags: Number

    def describe(self) -> str:
        from utsuwa.linux.mounts import propagation

        return f"make the host's mounts {propagation(self.flags)} here"


class RootBind(Op):
    """Make a recursive clone of a host directory the root of all in-root paths."""

    code = 16
    source: Text

    def describe(self) -> str:
        return f"take {self.source} as the root"


class RootOverlay(Op):
    """Mount an overlay, top layer first in ``lower``, and make it the root of all in-root paths."""

    code = 17
    at: Text
    lower: Texts
    upper: Text = ""
    work: Text = ""
    options: Texts = ()

    def describe(self) -> str:
        count = len(self.lower)
        layers = f"{count} layer{'s' if count != 1 else ''}"
        over = f" under {self.upper}" if self.upper else ", read-only"
        return _with(f"mount an overlay of {layers}{over} at {self.at} as the root", *self.options)


class Mount(Op):
    """A new file system by fsopen, fsmount and move_mount; ``options`` go to fsconfig."""

    code = 18
    fstype: Text
    source: Text
    target: Text
    options: Texts = ()
    attributes: Number = 0
    propagation: Number = 0
    flags: Number = 0

    def describe(self) -> str:
        from utsuwa.linux.mounts import attributes, propagation

        remarks = [*attributes(self.attributes), *self.options]
        remarks += [propagation(self.propagation)]
        remarks += ["content copied up" if self.flags & COPY_UP else ""]
        remarks += [f"else bind {self.source}" if self.flags & FALLBACK_BIND else ""]
        return _with(f"mount {self.fstype} at {self.target}", *remarks)


class Bind(Op):
    """A clone of a host file or directory by open_tree, mount_setattr and move_mount."""

    code = 19
    source: Text
    target: Text
    recursive: Number = 0
    set: Number = 0
    clear: Number = 0
    rec_set: Number = 0
    rec_clear: Number = 0
    propagation: Number = 0
    flags: Number = 0

    def describe(self) -> str:
        from utsuwa.linux.mounts import attributes, cleared, propagation

        remarks = ["recursive" if self.recursive else ""]
        remarks += [*attributes(self.set), *cleared(self.clear)]
        remarks += [f"{word} all the way down" for word in (*attributes(self.rec_set), *cleared(self.rec_clear))]
        remarks += [propagation(self.propagation)]
        return _with(f"bind {self.source} at {self.target}", *remarks)


class Remount(Op):
    """mount_setattr(2) on a mount that exists."""

    code = 20
    target: Text
    set: Number = 0
    clear: Number = 0
    flags: Number = 0

    def describe(self) -> str:
        from utsuwa.linux.mounts import attributes, cleared

        words = " and ".join((*attributes(self.set), *cleared(self.clear))) or "as it is"
        return f"make {self.target} {words}" + (" all the way down" if self.flags & RECURSIVE else "")


class Propagate(Op):
    """Change the propagation of a mount that exists."""

    code = 21
    target: Text
    flags: Number

    def describe(self) -> str:
        from utsuwa.linux.mounts import propagation

        return f"make the mount {self.target} {propagation(self.flags)}"


class Mknod(Op):
    """mknod(2); a node of the same kind and number may exist, anything else there is an error."""

    code = 22
    path: Text
    mode: Number
    major: Number
    minor: Number
    uid: Number
    gid: Number

    def describe(self) -> str:
        kind = {0o020000: "character device", 0o060000: "block device", 0o010000: "pipe"}[self.mode & 0o170000]
        number = "" if kind == "pipe" else f" {self.major}:{self.minor}"
        return f"make {kind}{number} at {self.path} (mode {self.mode & 0o7777:04o}, owner {self.uid}:{self.gid})"


class Symlink(Op):
    """symlinkat(2); the same link may exist."""

    code = 23
    target: Text
    path: Text
    replace: Number = 0

    def describe(self) -> str:
        return _with(f"link {self.path} to {self.target}", "replacing what is there" if self.replace else "")


class Mkdir(Op):
    """A directory with its missing parents; it may exist."""

    code = 24
    path: Text
    mode: Number

    def describe(self) -> str:
        return f"make directory {self.path} (mode {self.mode:04o})"


class Hook(Op):
    """Run a hook with the state document (``before``, own pid, ``after``) on its standard input; timeout in ms, 0 for none."""

    code = 25
    kind: Number
    index: Number
    path: Text
    args: Texts
    env: Texts
    timeout: Number
    before: Text
    after: Text

    def describe(self) -> str:
        limit = f"at most {self.timeout / 1000:g} s" if self.timeout else ""
        return _with(f"run {HOOK_KINDS[self.kind]} hook #{self.index}: {self.path}", limit)


class Pivot(Op):
    """pivot_root(2) with the old root detached."""

    code = 26

    def describe(self) -> str:
        return "pivot into the root and let go of the host's file systems"


class MoveRoot(Op):
    """MS_MOVE and chroot(2), for hosts whose root can't be pivoted away (initramfs)."""

    code = 27

    def describe(self) -> str:
        return "move the root over the host's file systems and chroot into it"


class Chroot(Op):
    """chroot(2) to a host directory, where there is no mount namespace of our own."""

    code = 28
    path: Text

    def describe(self) -> str:
        return f"chroot to {self.path}"


class Mask(Op):
    """Cover a file with the null device and a directory with an empty read-only tmpfs; skip what is missing."""

    code = 29
    path: Text

    def describe(self) -> str:
        return f"mask {self.path}"


class Readonly(Op):
    """A recursive read-only bind of a path on itself; skip what is missing."""

    code = 30
    path: Text

    def describe(self) -> str:
        return f"protect {self.path} from writing"


class Hostname(Op):
    """sethostname(2)."""

    code = 31
    name: Text

    def describe(self) -> str:
        return f"set the host name to {self.name}"


class Domainname(Op):
    """setdomainname(2)."""

    code = 32
    name: Text

    def describe(self) -> str:
        return f"set the domain name to {self.name}"


class Sysctl(Op):
    """Write a sysctl (key with slashes) through a procfs of our own (CVE-2025-52881)."""

    code = 33
    key: Text
    value: Text

    def describe(self) -> str:
        return f"set sysctl {self.key} to {self.value}"


class Console(Op):
    """Open a pty of the container's devpts, send its master over ``socket``, make it the controlling terminal and stdio."""

    code = 34
    socket: Slot
    rows: Number = 0
    columns: Number = 0
    uid: Number = 0
    device: Number = 0

    def describe(self) -> str:
        size = f"{self.columns}x{self.rows}" if self.rows or self.columns else ""
        return _with(
            "open a terminal and send it to the console socket", size, "as /dev/console" if self.device else ""
        )


class Workdir(Op):
    """mkdir -p in the container, mode 0755."""

    code = 35
    path: Text

    def describe(self) -> str:
        return f"make the working directory {self.path} where it is missing"


class FindUser(Op):
    """Resolve ``name|uid[:group|gid]`` in the container; replaces the ids of SET_IDENTITY."""

    code = 36
    user: Text

    def describe(self) -> str:
        return f"look up user {self.user} in the container's /etc/passwd and /etc/group"


class SetHome(Op):
    """HOME from the container's /etc/passwd, for an environment that has none."""

    code = 37
    uid: Number

    def describe(self) -> str:
        return f"set HOME to the home of uid {self.uid}"


class NoNewPrivs(Op):
    """prctl(2) PR_SET_NO_NEW_PRIVS."""

    code = 38

    def describe(self) -> str:
        return "give up gaining privileges by exec (no_new_privs)"


class DropBounding(Op):
    """prctl(2) PR_CAPBSET_DROP of every capability outside the mask ``keep``."""

    code = 39
    keep: Number

    def describe(self) -> str:
        return f"drop all capabilities but {_capabilities(self.keep)} from the bounding set"


class SetIdentity(Op):
    """Groups, gid, uid (capabilities are kept) and umask."""

    code = 40
    uid: Number
    gid: Number
    groups: Numbers
    umask: Number
    keep_groups: Number = 0

    def describe(self) -> str:
        groups = f"groups {','.join(map(str, self.groups))}" if self.groups else "no further groups"
        kept = "the caller's groups" if self.keep_groups else groups
        return f"become user {self.uid}:{self.gid} ({kept}, umask {self.umask:04o})"


class Capabilities(Op):
    """capset(2), then PR_CAP_AMBIENT_RAISE; all fields are masks."""

    code = 41
    effective: Number
    permitted: Number
    inheritable: Number
    ambient: Number

    def describe(self) -> str:
        named = [(name, getattr(self, name)) for name in self.fields]
        if not any(mask for _, mask in named):
            return "keep no capabilities"
        same: dict[int, list[str]] = {}
        for name, mask in named:
            same.setdefault(mask, []).append(name)
        return "set capabilities: " + "; ".join(f"{', '.join(s)} {_capabilities(mask)}" for mask, s in same.items())


class Seccomp(Op):
    """seccomp(2) SECCOMP_SET_MODE_FILTER; ``program`` is an array of struct sock_filter."""

    code = 42
    program: Bytes
    flags: Number

    def describe(self) -> str:
        return f"load a seccomp filter of {len(self.program) // 8} instructions"


class Chdir(Op):
    """chdir(2), then getcwd must lie in the container (CVE-2024-21626)."""

    code = 43
    path: Text
    may_fail: Number = 0

    def describe(self) -> str:
        return _with(f"change to directory {self.path}", "tried again as the user" if self.may_fail else "")


class FindExecutable(Op):
    """Find what EXEC will execute, as execvp does, with the container's PATH."""

    code = 44
    file: Text
    search: Text

    def describe(self) -> str:
        where = "" if "/" in self.file else f" in {self.search or 'an empty PATH'}"
        return f"find executable {self.file}{where}"


class AwaitStart(Op):
    """Report WAITING and accept one connection on ``listener``: that is start."""

    code = 45
    listener: Slot

    def describe(self) -> str:
        return "wait for start"


class Supervise(Op):
    """Fork: the parent stays as a reaper that forwards signals, the child goes on."""

    code = 46

    def describe(self) -> str:
        return "stay as init, and go on in a child"


class Exec(Op):
    """Report EXECUTING, reset signals, close what is not kept, execve(2)."""

    code = 47
    args: Texts
    env: Texts

    def describe(self) -> str:
        return f"execute {' '.join(_quoted(word) for word in self.args)}"


class StdioOwner(Op):
    """fchown(2) of the pipes among 0, 1 and 2; devices and files are left alone."""

    code = 48
    uid: Number
    gid: Number

    def describe(self) -> str:
        return f"give pipes among the standard streams to {self.uid}:{self.gid}"


OPS: tuple[type[Op], ...] = tuple(Op.__subclasses__())


def _plural(noun: str, flags: int) -> str:
    return noun if flags & (flags - 1) == 0 else noun + "s"


def _capabilities(mask: int) -> str:
    from utsuwa.linux.capabilities import names

    return ", ".join(names(mask)) or "none"


def _quoted(word: str) -> str:
    """A word as a shell would want it, so that ``sh -c 'a b'`` reads unambiguously."""
    plain = word and all(letter.isalnum() or letter in "%+,-./:=@_" for letter in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"
