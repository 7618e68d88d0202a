"""New limits for a container: at once where it runs, and for every start to come.

What was asked for when it was made (the record's request) and what it is started with (config.json) change together,
so that `inspect` tells the truth.
"""

from __future__ import annotations

import os

from utsuwa.engine import events
from utsuwa.engine.limits import check_limits
from utsuwa.engine.metadata import ContainerRecord, Metadata
from utsuwa.engine.status import derive
from utsuwa.errors import FailedPrecondition, InvalidArgument, from_oserror
from utsuwa.linux.host import in_user_namespace
from utsuwa.spec.codec import dumps, encode, parse
from utsuwa.spec.record import Record, decode, fields
from utsuwa.spec.request import Restart, RunRequest, check
from utsuwa.spec.runtime import CPU, Memory, Pids, Resources
from utsuwa.spec.seldom import BlockIO
from utsuwa.spec.validate_linux import validate_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.paths import Paths

_PERIOD = 100_000
"""Microseconds, Docker's."""


class Limits(Record):
    """What changes; None stays as it is. Sizes in bytes (``memory_swap`` -1: no limit), CPU times in microseconds,
    ``nano_cpus`` in billionths of a CPU, ``pids_limit`` at most 0 for no limit. ``restart`` is the policy.
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    blkio_weight: int | None = None
    pids_limit: int | None = None
    restart: Restart | None = None


def update(paths: Paths, record: ContainerRecord, limits: Limits) -> ContainerRecord:
    """Change them. Raises InvalidArgument, FailedPrecondition for what this host can't limit; then nothing changes."""

    def alter(found: ContainerRecord) -> ContainerRecord:
        if limits.restart is not None and found.autoRemove:
            raise InvalidArgument("Restart policy cannot be updated because AutoRemove is enabled for the container")
        wanted = _merged(found, limits)
        request: RunRequest = decode(RunRequest, wanted)
        check(request)
        check_limits(request)
        resources = _resources(found, limits)
        validate_resources(resources, "")
        if encode(resources) and in_user_namespace():
            from utsuwa.engine import delegation, rootless

            if delegation.driver() == delegation.NONE:
                rootless.refuse_limits(request)
        if encode(resources) and derive(paths, found).alive:
            from utsuwa.runtime.record import Store
            from utsuwa.runtime.update import update as apply

            apply(Store(paths.runtime), found.id, resources)
        _write_config(paths.container(found.id), resources)
        policy = request.restart
        name = "" if policy.name == "no" else policy.name
        return found.replace(request=wanted, restart=name, restartLimit=policy.limit)

    try:
        updated = Metadata(paths).change(record.id, alter)
    except (InvalidArgument, FailedPrecondition) as error:
        raise error.within(f"Cannot update container {record.id}") from error
    events.note(paths, updated, "update")
    return updated


def _merged(record: ContainerRecord, limits: Limits) -> dict[str, Any]:
    """The request with the limits in it. Raises InvalidArgument for those that contradict what was asked before."""
    wanted: dict[str, Any] = dict(parse(dumps(record.request)))
    given = encode(limits)
    seldom = dict(wanted.get("seldom") or {})
    own = fields(RunRequest)
    if "nano_cpus" in given and (seldom.get("cpu_quota") or seldom.get("cpu_period")):
        raise InvalidArgument(
            "Conflicting options: NanoCPUs cannot be updated as CPU Quota/Period has already been set"
        )
    for name, words in (("cpu_quota", "CPU Quota"), ("cpu_period", "CPU Period")):
        if name in given and wanted.get("nano_cpus"):
            raise InvalidArgument(f"Conflicting options: {words} cannot be updated as NanoCPUs has already been set")
    for name, value in given.items():
        if name in own:
            wanted[name] = value
        else:
            seldom[name] = value
    if seldom and "seldom" in own:
        wanted["seldom"] = seldom
    if limits.memory is not None:
        wanted["memory_swap"] = _swap(record, limits)
    return wanted


def _swap(record: ContainerRecord, limits: Limits) -> int | None:
    """The limit of memory and swap together that goes with a new limit of memory: as much swap again unless said."""
    if limits.memory_swap is not None:
        return limits.memory_swap
    before = record.request
    swap = before.get("memory_swap") or 2 * (before.get("memory") or 0)  # type: ignore[attr-defined]
    if limits.memory is not None and 0 < swap < limits.memory:
        raise InvalidArgument(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    return swap or 2 * (limits.memory or 0) or None


def _resources(record: ContainerRecord, limits: Limits) -> Resources:
    """The limits in the runtime's words, without those that stay."""
    quota, period = limits.cpu_quota, limits.cpu_period
    if limits.nano_cpus:
        quota, period = limits.nano_cpus * _PERIOD // 1_000_000_000, _PERIOD
    swap = _swap(record, limits) if limits.memory is not None else limits.memory_swap
    memory = Memory(limit=limits.memory, swap=swap, reservation=limits.memory_reservation)
    cpu = CPU(
        shares=limits.cpu_shares,
        quota=quota,
        period=period,
        realtimePeriod=limits.cpu_rt_period,
        realtimeRuntime=limits.cpu_rt_runtime,
        cpus=limits.cpuset_cpus,
        mems=limits.cpuset_mems,
    )
    count = limits.pids_limit
    return Resources(
        memory=memory if encode(memory) else None,
        cpu=cpu if encode(cpu) else None,
        blockIO=BlockIO(weight=limits.blkio_weight) if limits.blkio_weight is not None else None,
        pids=None if count is None else Pids(limit=count if count > 0 else -1),
    )


def _write_config(directory: str, resources: Resources) -> None:
    """Put the limits into config.json, whole or not at all."""
    path = f"{directory}/config.json"
    try:
        with open(path, "rb", buffering=0) as file:
            config = parse(file.read())
        kept = config["linux"].setdefault("resources", {})
        for section, values in encode(resources).items():
            kept[section] = {**(kept.get(section) or {}), **values}
        temporary = f"{directory}/.config.json.{os.getpid()}"
        with open(temporary, "wb", buffering=0) as file:
            file.write(dumps(config).encode())
        os.rename(temporary, path)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error
