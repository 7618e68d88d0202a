"""What a container uses of the machine at one moment."""

from __future__ import annotations

from utsuwa.cgroup.stats import NO_LIMIT
from utsuwa.engine.usage import look
from utsuwa.errors import FailedPrecondition
from utsuwa.runtime import events
from utsuwa.runtime.record import Store
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.services import Services


class Usage(Record):
    """``cpu_seconds`` since its start, on all processors together; ``memory`` in bytes, page cache included, of at most
    ``memory_limit`` (None: no limit); ``processes`` counts threads. ``counters`` is all that the kernel tells, in the
    shape of `urun events --stats`, nothing without a cgroup: then the rest is what its processes use, added up.
    """

    cpu_seconds: float
    memory: int
    memory_limit: int | None
    processes: int
    counters: dict[str, object]


def usage(services: Services, record: ContainerRecord) -> Usage:
    """The counters of the container's cgroup. Raises FailedPrecondition when it does not run."""
    if not services.containers.status(record).alive:
        raise FailedPrecondition(f"container {record.name} is not running")
    data: dict[str, Any] = events.stats(Store(services.paths.runtime), record.id)["data"]
    if not data:
        seen = look(services.paths, record)
        return Usage(
            cpu_seconds=seen.cpu / 1e9, memory=seen.memory, memory_limit=None, processes=seen.pids, counters={}
        )
    memory = data.get("memory", {}).get("usage", {})
    limit = memory.get("limit", NO_LIMIT)
    return Usage(
        cpu_seconds=data.get("cpu", {}).get("usage", {}).get("total", 0) / 1e9,
        memory=memory.get("usage", 0),
        # cgroup v1 says "no limit" with the largest number of pages.
        memory_limit=None if limit >= NO_LIMIT >> 1 & ~0xFFFF else limit,
        processes=data.get("pids", {}).get("current", 0),
        counters=data,
    )
