"""Resource limits, the score of the OOM killer, and the device filter of cgroup v2."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.linux.capabilities import SYS_RESOURCE
from utsuwa.linux.rlimits import RLIMITS
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase

_ONLY_V1 = (
    *(("memory", name) for name in ("swappiness", "disableOOMKiller")),
    *(("cpu", name) for name in ("realtimeRuntime", "realtimePeriod")),
    *(("blockIO", "leafWeight"), ("network", "classID"), ("network", "priorities")),
)


def outside(case: Case) -> Iterator[Step]:
    """What only the host's root may do, and what needs the host's own /proc: before any namespace is entered."""
    score = case.process.oomScoreAdj
    if score is not None:
        yield from _oom_score(case, score)
    if case.has("user"):
        yield from _rlimits(case)


def inside(case: Case) -> Iterator[Step]:
    """Limits of the process, set late: a small one should not make the preparation fail."""
    if not case.has("user"):
        yield from _rlimits(case)


def devices(case: CreateCase) -> Iterator[Step]:
    """Devices of cgroup v2 are guarded by a program, in place before the first process is."""
    if case.host.cgroup_mode == "v2":
        _tell_what_v2_lacks(case)
    cgroup, program = case.options.cgroup, case.options.device_filter
    if cgroup and cgroup.unified and program:
        yield Step(ops.AttachDeviceFilter(cgroup.unified, program), "config-linux.md#allowed-device-list")


def device_rules(case: CreateCase) -> Iterator[Step]:
    """Devices of cgroup v1 are guarded by its own lists. Now that the nodes are made, and block devices mounted: a
    process that is denied a device can do neither.
    """
    cgroup = case.options.cgroup
    if cgroup and cgroup.device_lines:
        yield Step(
            ops.WriteCgroup(cgroup.mounts["devices"], cgroup.device_lines), "config-linux.md#allowed-device-list"
        )


def _tell_what_v2_lacks(case: CreateCase) -> None:
    """Engines send some properties of v1 to every host; runc does without them on v2, too, but says nothing."""
    for section, name in _ONLY_V1:
        value = getattr(getattr(case.linux.resources, section, None), name, None)
        if value or (value == 0 and name == "swappiness"):
            case.warnings.append(f"linux.resources.{section}.{name}: left out, cgroup v2 has nothing like it")


def _oom_score(case: Case, score: int) -> Iterator[Step]:
    """Below our own score only CAP_SYS_RESOURCE goes; without it the process keeps ours, and that is said."""
    ours = case.host.oom_score_adj
    privileged = case.host.permitted & SYS_RESOURCE and not case.host.in_user_namespace
    if score < ours and not privileged:
        case.warnings.append(f"process.oomScoreAdj: below {ours} only CAP_SYS_RESOURCE leads: {score} is left out")
        return
    yield Step(ops.OomScoreAdj(score), "config.md#linux-process")


def _rlimits(case: Case) -> Iterator[Step]:
    for index, limit in enumerate(case.process.rlimits or ()):
        number = RLIMITS.get(limit.type)
        if number is None:
            raise InvalidArgument(f'process.rlimits[{index}].type: "{limit.type}" is not a limit of this kernel')
        yield Step(ops.Rlimit(number, limit.soft, limit.hard), "config.md#posix-process")
