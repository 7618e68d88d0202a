"""What every cgroup manager can do.

A manager stands for *one* container's cgroup, which on cgroup v1 is a directory in each hierarchy. Its life:

    manager = open_manager(host, spec.linux.cgroupsPath, container_id)    # names the directories, touches nothing
    manager.begin()                   # may be left out: only what a process is born in, on a v1 host
    manager.create(resources)         # makes them; refuses one that has processes in it or is frozen
    joining = manager.join()          # where the new process has to go; it goes there by itself
    program = manager.device_program(resources)   # v2 only: what the executor attaches to joining.unified
    manager.apply(resources)          # limits; again for `update`
    saved = manager.save()            # JSON; `load(saved)` gives the manager back in another process
    manager.kill(SIGKILL); manager.remove()

The parent never writes ``cgroup.procs``: on an idle machine that write waits 4 to 14 ms for an RCU grace period, where
a process that joins by ``clone3(CLONE_INTO_CGROUP)`` (v2) or by writing ``0`` to its own ``tasks`` (v1) does not wait.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from utsuwa.cgroup.journal import Journal
    from utsuwa.spec.runtime import Resources
else:
    Protocol = object


class Join:
    """Where a process has to put itself to be in the container's cgroup.

    ``unified`` is the directory for ``CLONE_INTO_CGROUP``, "" when there is none; ``v1`` are the directories whose
    ``tasks`` file it writes "0" to. Both are empty when the container runs without a cgroup of its own. ``scope`` is
    the unit of systemd that it asks to be put into instead of going to ``unified``, "" for none.
    """

    __slots__ = ("scope", "unified", "v1")

    def __init__(self, unified: str, v1: tuple[str, ...], scope: str = "") -> None:
        self.unified = unified
        self.v1 = v1
        self.scope = scope

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Join) and (self.unified, self.v1, self.scope) == (other.unified, other.v1, other.scope)

    def __hash__(self) -> int:
        return hash((self.unified, self.v1, self.scope))

    def __repr__(self) -> str:
        return f"Join(unified={self.unified!r}, v1={self.v1!r}, scope={self.scope!r})"


class Manager(Protocol):
    """A container's cgroup. Every method raises kinds of ``utsuwa.errors.Error`` and names the file it failed at.

    ``fresh``: as far as is known, nothing of it was there before create().
    """

    fresh: bool

    def begin(self) -> bool:
        """v1: make the cgroup2 directory alone, so that a process can be born in it before create() makes the others.

        False, and nothing is made, where that is of no use, or where it exists already. retreat() takes it back.
        """
        raise NotImplementedError

    def retreat(self) -> None:
        """Remove what begin() has made, once the process in it has ended. FailedPrecondition when it does not end."""
        raise NotImplementedError

    def create(self, resources: Resources | None = None, *, vacant: bool = True) -> None:
        """Make the directories, parents included, and check (``vacant``) that nobody lives there.

        ``resources`` is asked only for what must be set before a process can join (real-time budgets of v1).
        A failure removes what it made. FailedPrecondition when the cgroup has processes or is frozen.
        """
        raise NotImplementedError

    def join(self) -> Join:
        """Where the container's first process, or an exec'd one, puts itself."""
        raise NotImplementedError

    def directories(self) -> dict[str, str]:
        """The container's directory on the host by single controller: ``memory``, ``name=systemd``; "" for cgroup2.

        Controllers that are mounted together share one. Cgroup mounts without a cgroup namespace bind these.
        """
        raise NotImplementedError

    def apply(self, resources: Resources, *, devices: bool = True, journal: Journal | None = None) -> None:
        """Write ``linux.resources``; what is absent there is left as it is.

        ``devices=False`` is for `update`, which must not touch device access; ``journal`` notes what was there before,
        and takes it all back when this fails. Raises FailedPrecondition for a limit
        whose controller this host lacks, InvalidArgument for a value that the kernel or the specification refuses.
        """
        raise NotImplementedError

    def delegate(self, uid: int) -> None:
        """Give the cgroup to host user ``uid``, who may then make cgroups in it (v2 with a user namespace; v1: never).

        The files that change hands are those of /sys/kernel/cgroup/delegate (config-linux.md#cgroup-ownership); limits
        stay ours.
        """
        raise NotImplementedError

    def device_lines(self, resources: Resources | None) -> tuple[str, ...]:
        """v1: ``FILE VALUE`` lines that guard devices.

        They are for a process in the cgroup to write into its `devices` directory, once it has made its device nodes;
        there are none where apply() has to do it, or device_program() is the way.
        """
        raise NotImplementedError

    def device_program(self, resources: Resources | None) -> bytes | None:
        """eBPF instructions (``BPF_PROG_TYPE_CGROUP_DEVICE``) for ``linux.resources.devices``.

        None on v1, for a container that may use every device, and without the privilege to load programs.
        """
        raise NotImplementedError

    def pids(self, recursive: bool = True) -> list[int]:
        """Processes in the cgroup and (recursive) in those that the container made below it, ascending."""
        raise NotImplementedError

    def kill(self, signal: int) -> None:
        """Send ``signal`` to every process of the cgroup; SIGKILL also reaches frozen and forking ones."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop every process and wait until all have stopped; thaws and raises FailedPrecondition after 10 s."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Let frozen processes go on."""
        raise NotImplementedError

    def frozen(self) -> bool:
        """Whether the processes are (being) stopped by the freezer."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the directories, deepest first; those that are gone are fine. FailedPrecondition when still in use."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """How many processes the kernel has killed because the cgroup's memory was used up; 0 where not counted."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """The ``data`` object of ``events --stats``: cpu, memory, pids, blkio, hugetlb …; absent where not known."""
        raise NotImplementedError

    def save(self) -> dict[str, Any]:
        """JSON for a container's record, from which ``filesystem.load`` restores the manager."""
        raise NotImplementedError
