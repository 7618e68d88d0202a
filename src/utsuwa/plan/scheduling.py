"""When and where the process runs: its processors, scheduler and I/O priority; and its execution domain."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.linux import scheduling
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, ExecCase
    from utsuwa.spec.seldom import MemoryPolicy, Scheduler

_LINUX_PROCESS = "config.md#linux-process"
_LOWEST_IO_PRIORITY = 7


def all_processors(case: Case) -> Iterator[Step]:
    """A container is not bound to the processors that its runtime happens to be bound to."""
    del case
    yield Step(ops.CpuAffinity(scheduling.ALL_CPUS), "sched_setaffinity(2)")


def before_joining(case: ExecCase) -> Iterator[Step]:
    """The processors of an exec'd process until it has joined the container's cgroup."""
    affinity = case.process.execCPUAffinity
    if affinity is not None and affinity.initial:
        yield Step(ops.CpuAffinity(scheduling.cpu_mask(affinity.initial)), _LINUX_PROCESS)
    else:
        yield from all_processors(case)


def after_joining(case: ExecCase) -> Iterator[Step]:
    """The processors of an exec'd process from then on."""
    affinity = case.process.execCPUAffinity
    if affinity is not None and affinity.final:
        yield Step(ops.CpuAffinity(scheduling.cpu_mask(affinity.final)), _LINUX_PROCESS)


def apply(case: Case) -> Iterator[Step]:
    """Scheduler, I/O priority, execution domain, memory: when nothing is left to prepare that they should slow down."""
    process, personality = case.process, case.linux.personality
    if process.scheduler is not None:
        yield Step(_scheduler(case, process.scheduler), _LINUX_PROCESS)
    if process.ioPriority is not None:
        kind = _number(scheduling.IO_CLASSES, process.ioPriority.class_, "process.ioPriority.class")
        priority = process.ioPriority.priority or 0
        if not 0 <= priority <= _LOWEST_IO_PRIORITY:
            raise InvalidArgument(
                f"process.ioPriority.priority: must be from 0 to {_LOWEST_IO_PRIORITY}, found {priority}"
            )
        yield Step(ops.IoPriority(kind, priority), _LINUX_PROCESS)
    if personality is not None:
        if personality.flags:
            raise InvalidArgument("linux.personality.flags: no flag is known")
        domain = _number(scheduling.DOMAINS, personality.domain, "linux.personality.domain")
        yield Step(ops.Personality(domain), "config-linux.md#personality")
    if case.linux.memoryPolicy is not None:
        yield Step(_memory_policy(case.linux.memoryPolicy), "config-linux.md#memory-policy")


def _memory_policy(wanted: MemoryPolicy) -> ops.MemoryPolicy:
    """The operation, if the nodes fit the mode (set_mempolicy(2))."""
    from utsuwa.linux import memory

    path = "linux.memoryPolicy"
    mode = wanted.mode or ""
    if mode not in memory.MODES:
        known = ", ".join(memory.MODES)
        raise InvalidArgument(f'{path}.mode: invalid memory policy mode "{mode}", expected one of {known}')
    bits = memory.MODES[mode]
    for index, flag in enumerate(wanted.flags or ()):
        if flag not in memory.FLAGS:
            known = ", ".join(memory.FLAGS)
            raise InvalidArgument(
                f'{path}.flags[{index}]: invalid memory policy flag "{flag}", expected one of {known}'
            )
        bits |= memory.FLAGS[flag]
    try:
        nodes = memory.nodes(wanted.nodes or "")
    except ValueError:
        raise InvalidArgument(f'{path}.nodes: invalid memory policy nodes "{wanted.nodes}", write 0-3,7') from None
    if nodes and mode in memory.WITHOUT_NODES:
        raise InvalidArgument(f"{path}.nodes: memory policy mode requires 0 nodes but got {len(nodes)}")
    if not nodes and mode not in (*memory.WITHOUT_NODES, "MPOL_PREFERRED"):
        raise InvalidArgument(f"{path}.nodes: memory policy mode requires at least one node but got 0")
    return ops.MemoryPolicy(bits, memory.mask(nodes))


def _scheduler(case: Case, wanted: Scheduler) -> ops.Scheduler:
    """The operation, if the values fit the policy (config.md#linux-process, sched(7))."""
    path = "process.scheduler"
    policy = _number(scheduling.POLICIES, wanted.policy, f"{path}.policy")
    nice, priority = wanted.nice or 0, wanted.priority or 0
    timing = (wanted.runtime or 0, wanted.deadline or 0, wanted.period or 0)
    if wanted.policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= nice <= 19:
        raise InvalidArgument(f"{path}.nice: must be from -20 to 19, found {nice}")
    if priority and wanted.policy not in ("SCHED_FIFO", "SCHED_RR"):
        raise InvalidArgument(f"{path}.priority: is for SCHED_FIFO and SCHED_RR alone")
    if any(timing) and wanted.policy != "SCHED_DEADLINE":
        raise InvalidArgument(f"{path}.runtime: runtime, deadline and period are for SCHED_DEADLINE alone")
    cpu = case.linux.resources.cpu if case.linux.resources else None
    if wanted.policy == "SCHED_DEADLINE" and cpu is not None and cpu.cpus:
        raise InvalidArgument(f"{path}: process scheduler can't be used together with AllowedCPUs (cpu.cpus)")
    flags = 0
    for index, flag in enumerate(wanted.flags or ()):
        flags |= _number(scheduling.FLAGS, flag, f"{path}.flags[{index}]")
    return ops.Scheduler(policy, nice, priority, flags, *timing)


def _number(table: dict[str, int], word: str, path: str) -> int:
    if word not in table:
        raise InvalidArgument(f'{path}: expected one of {", ".join(table)}, found "{word}"')
    return table[word]
