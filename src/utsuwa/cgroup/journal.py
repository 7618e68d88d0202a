"""Taking back an update that failed half way: what each file said before it was written.

Most files take what they show. Some hold a line for each device (``8:0 rbps=1024``): there the device's line is put
back, or the word that stands for "as by default" where it had none.
"""

from __future__ import annotations

from utsuwa.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from utsuwa.cgroup.directory import Directory

_DEFAULTS = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "io.latency": "target=max",
    "rdma.max": "hca_handle=max hca_object=max",
}
"""What a device has in the files of v2 that show only those that differ; in those of v1 it is 0 everywhere."""


class Journal:
    """A ``with`` block: leaving it by an exception puts back everything that was written through it."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str, str], str] = {}

    def note(self, cgroup: Directory, key: str, value: str) -> None:
        """``value`` is about to be written to file ``key``; the first time counts."""
        device = _device(value)
        if (cgroup.path, key, device) not in self._before:
            text = cgroup.peek(key)
            if text is not None:
                self._before[cgroup.path, key, device] = _former(key, text, device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if error is not None:
            self._restore()

    def _restore(self) -> None:
        """Backwards; what is refused at first (a limit that another still forbids) again after the others."""
        from utsuwa.cgroup.directory import Directory

        waiting = list(reversed(self._before.items()))
        while waiting:
            refused = []
            for (path, key, device), value in waiting:
                try:
                    with Directory(path) as cgroup:
                        if cgroup.attempt(key, value) is not None:
                            refused.append(((path, key, device), value))
                except NotFound:
                    continue  # the container is gone, and nobody misses its limits
            if len(refused) == len(waiting):
                return
            waiting = refused


def _device(value: str) -> str:
    """What a value is about where a file has a line for each: ``8:0``, ``default``, a network interface; else ""."""
    first, space, rest = value.partition(" ")
    if not space or first.isdecimal() or first in ("max", "-1") or (rest.isdecimal() and first[:1] in ("", "-")):
        return ""  # a number, or two of them as in cpu.max
    return first


def _former(key: str, text: str, device: str) -> str:
    """What has to be written to have ``text`` again, as far as ``device`` goes."""
    if key == "memory.oom_control":
        return text.split()[1]  # oom_kill_disable 0
    if not device:
        return text
    for line in text.splitlines():
        if line.split(" ", 1)[0] == device:
            return line
    return f"{device} {_DEFAULTS.get(key, '0')}"
