"""The operations a plan is made of: one class per row of ``init/c/ops.def``, same codes, same fields, same order.

An operation is a frozen record. Its annotations name the fields and how each travels to the executor:

    Number   one 64-bit integer (negative values in two's complement)         wire letter u
    Text     a string, possibly empty                                         s
    Texts    a tuple of strings                                               l
    Bytes    bytes                                                            b
    Numbers  a tuple of 64-bit integers                                       n
    Slot     the name of a descriptor that the caller supplies, "" for none   f

``describe()`` says in plain English what the operation does: ``urun explain`` prints it, and an error of the kernel is
appended to it. "in-root" paths are resolved by the executor beneath the container's root; all others are the host's.
Operations that few plans hold are declared in seldom.py and appear here when they are first named.
"""

from __future__ import annotations

from utsuwa.plan.op import Op as Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.plan.op import Bytes, Number, Numbers, Slot, Text, Texts
    from utsuwa.plan.seldom import *  # noqa: F403 - as if they were here

# Slots: descriptors that the runtime hands to init.spawn by name.
CONSOLE_SOCKET = "console-socket"
START_LISTENER = "start-listener"
PIDFD = "pidfd"

# Requests: what the parent does before the child goes on; SECCOMP_LISTENER is SECCOMP's, NETWORK is NETLINK_SOCKETS'
# (the child goes on at once), the others are ASK's.
ID_MAPS, CREATE_RUNTIME_HOOKS, READY, SECCOMP_LISTENER, JOIN_SCOPE, CGROUPS, NETWORK = 1, 2, 3, 4, 5, 6, 7

# Flags of MOUNT, BIND and REMOUNT.
COPY_UP = 1
INHERIT_MODE = 2
ORDINARY_DIRECTORY = 4
FALLBACK_BIND = 8
NO_FOLLOW = 2
WHOLE = 4
ID_MAP = 8
ID_MAP_RECURSIVE = 16
RECURSIVE = 1

NEW_LISTENER = 8  # of SECCOMP: SECCOMP_FILTER_FLAG_NEW_LISTENER

# Kinds of HOOK, in the order of their life.
CREATE_CONTAINER, START_CONTAINER = 1, 2
HOOK_KINDS = ("", "createContainer", "startContainer")


class Rlimit(Op):
    """prlimit(2) on itself; amounts are bytes, seconds or counts, all ones for no limit."""

    code = 1
    resource: Number
    soft: Number
    hard: Number


class OomScoreAdj(Op):
    """Write /proc/self/oom_score_adj (proc(5)) while the host's proc is still the one in view."""

    code = 2
    value: Number


class AttachDeviceFilter(Op):
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program and attach it to a v2 cgroup (bpf(2))."""

    code = 3
    cgroup: Text
    program: Bytes


class JoinNamespaces(Op):
    """Open all paths, check their types by NS_GET_NSTYPE, then setns(2) in three passes around the user namespace."""

    code = 4
    kinds: Numbers
    paths: Texts


class Enter(Op):
    """setns(2) by pidfd into several namespaces at once; for exec. ``keep``: the pidfd stays open."""

    code = 5
    pidfd: Slot
    flags: Number
    keep: Number = 0


class Clone(Op):
    """clone3(2): the process that goes on with the rest of the plan; ``cgroup`` by CLONE_INTO_CGROUP."""

    code = 6
    flags: Number
    cgroup: Text = ""


class JoinCgroups(Op):
    """Write 0 to ``tasks`` of each v1 cgroup: ``cgroup.procs`` would cost an RCU grace period."""

    code = 7
    directories: Texts


class Unshare(Op):
    """unshare(2)."""

    code = 8
    flags: Number


class Ask(Op):
    """Report a request to the parent and wait for its answer."""

    code = 9
    request: Number

    @property
    def asks(self) -> int:
        """What it is there for."""
        return self.request


class BecomeRoot(Op):
    """Become 0:0 without groups in a new user namespace (user_namespaces(7))."""

    code = 10


class NewSession(Op):
    """setsid(2)."""

    code = 11


class SessionKeyring(Op):
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING; a kernel without keys is no error."""

    code = 12
    name: Text


class LoopbackUp(Op):
    """Set IFF_UP on lo (netdevice(7))."""

    code = 13


class NotDumpable(Op):
    """prctl(2) PR_SET_DUMPABLE 0: nobody inside may read this process (CVE-2016-9962)."""

    code = 14


class RootPropagation(Op):
    """Change the propagation of the whole copied mount tree (mount_namespaces(7))."""

    code = 15
    flags: Number


class RootBind(Op):
    """Make a recursive clone of a host directory the root of all in-root paths."""

    code = 16
    source: Text


class RootOverlay(Op):
    """Mount an overlay, top layer first in ``lower``, and make it the root of all in-root paths."""

    code = 17
    at: Text
    lower: Texts
    upper: Text = ""
    work: Text = ""
    options: Texts = ()


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


class Bind(Op):
    """A clone of a host file or directory by open_tree, mount_setattr and move_mount.

    With ``ID_MAP`` the deputy gives it other owners first: those of the maps, in the words of /proc/PID/uid_map, or
    without maps those of the process's own user namespace. A ``subdirectory`` (or file) of the source is looked up
    beneath it, wherever links on the way lead.
    """

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
    uid_map: Text = ""
    gid_map: Text = ""
    subdirectory: Text = ""


class Remount(Op):
    """mount_setattr(2) on a mount that exists; ``options`` change its file system by fspick and fsconfig."""

    code = 20
    target: Text
    set: Number = 0
    clear: Number = 0
    flags: Number = 0
    options: Texts = ()


class Propagate(Op):
    """Change the propagation of a mount that exists."""

    code = 21
    target: Text
    flags: Number


class Mknod(Op):
    """mknod(2); a node of the same kind and number may exist, anything else there is an error."""

    code = 22
    path: Text
    mode: Number
    major: Number
    minor: Number
    uid: Number
    gid: Number


class Symlink(Op):
    """symlinkat(2); the same link may exist."""

    code = 23
    target: Text
    path: Text
    replace: Number = 0


class Mkdir(Op):
    """A directory with its missing parents; it may exist."""

    code = 24
    path: Text
    mode: Number


class Hook(Op):
    """Run a hook with the state document (``before``, own pid, ``after``) on stdin; timeout in ms, 0 for none."""

    code = 25
    kind: Number
    index: Number
    path: Text
    args: Texts
    env: Texts
    timeout: Number
    before: Text
    after: Text


class Pivot(Op):
    """pivot_root(2) with the old root detached."""

    code = 26


class MoveRoot(Op):
    """MS_MOVE and chroot(2), for hosts whose root can't be pivoted away (initramfs)."""

    code = 27


class Chroot(Op):
    """chroot(2) to a host directory, where there is no mount namespace of our own."""

    code = 28
    path: Text
    read_only: Number = 0


class Mask(Op):
    """Cover a file with the null device and a directory with an empty read-only tmpfs; skip what is missing."""

    code = 29
    path: Text


class Readonly(Op):
    """A recursive read-only bind of a path on itself; skip what is missing."""

    code = 30
    path: Text


class Hostname(Op):
    """sethostname(2)."""

    code = 31
    name: Text


class Domainname(Op):
    """setdomainname(2)."""

    code = 32
    name: Text


class Sysctl(Op):
    """Write a sysctl (key with slashes) through a procfs of our own (CVE-2025-52881)."""

    code = 33
    key: Text
    value: Text


class Console(Op):
    """Make a pty of the container's devpts our terminal, its master goes over ``socket``; ``plain``: without ONLCR."""

    code = 34
    socket: Slot
    rows: Number = 0
    columns: Number = 0
    uid: Number = 0
    device: Number = 0
    plain: Number = 0


class Workdir(Op):
    """mkdir -p in the container, mode 0755."""

    code = 35
    path: Text


class FindUser(Op):
    """Resolve ``name|uid[:group|gid]`` in the container; replaces the ids of SET_IDENTITY."""

    code = 36
    user: Text


class SetHome(Op):
    """HOME from the container's /etc/passwd, for an environment that has none."""

    code = 37
    uid: Number


class NoNewPrivs(Op):
    """prctl(2) PR_SET_NO_NEW_PRIVS."""

    code = 38


class DropBounding(Op):
    """prctl(2) PR_CAPBSET_DROP of every capability outside the mask ``keep``."""

    code = 39
    keep: Number


class SetIdentity(Op):
    """Groups, gid, uid (capabilities are kept) and umask."""

    code = 40
    uid: Number
    gid: Number
    groups: Numbers
    umask: Number
    keep_groups: Number = 0


class Capabilities(Op):
    """capset(2), then PR_CAP_AMBIENT_RAISE; all fields are masks."""

    code = 41
    effective: Number
    permitted: Number
    inheritable: Number
    ambient: Number


class Seccomp(Op):
    """seccomp(2) SECCOMP_SET_MODE_FILTER; ``program`` is an array of struct sock_filter."""

    code = 42
    program: Bytes
    flags: Number

    @property
    def asks(self) -> int:
        """With NEW_LISTENER the parent is given the listener before anything else happens."""
        return SECCOMP_LISTENER if self.flags & NEW_LISTENER else 0


class Chdir(Op):
    """chdir(2), then getcwd must lie in the container (CVE-2024-21626)."""

    code = 43
    path: Text
    may_fail: Number = 0


class FindExecutable(Op):
    """Find what EXEC will execute, as execvp does, with the container's PATH."""

    code = 44
    file: Text
    search: Text


class AwaitStart(Op):
    """Report WAITING and accept one connection on ``listener``: that is start."""

    code = 45
    listener: Slot


class Supervise(Op):
    """Fork: the parent stays as a reaper that forwards signals, the child goes on."""

    code = 46


class Exec(Op):
    """Report EXECUTING, reset signals, close what is not kept, execve(2)."""

    code = 47
    args: Texts
    env: Texts


class StdioOwner(Op):
    """fchown(2) of the pipes among 0, 1 and 2; devices and files are left alone."""

    code = 48
    uid: Number
    gid: Number


class CpuAffinity(Op):
    """sched_setaffinity(2) on itself, lowest processor first."""

    code = 53
    mask: Bytes


class Unmount(Op):
    """umount2(2) MNT_DETACH of the topmost mount at an in-root path."""

    code = 54
    target: Text


class ReopenNull(Op):
    """Standard streams that are the host's null device become the container's own."""

    code = 55


class WriteCgroup(Op):
    """Write into files of a v1 cgroup; a line is the file's name, a space and the value."""

    code = 61
    directory: Text
    lines: Texts


def __getattr__(name: str) -> object:
    """Fetch an operation of seldom.py (PEP 562), or ``OPS``, all of them: most plans name none."""
    if name[0] != "_":
        from utsuwa.plan import seldom

        if hasattr(seldom, name):
            return getattr(seldom, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
