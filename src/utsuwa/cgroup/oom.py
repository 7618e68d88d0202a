"""Waiting for the kernel to run out of a cgroup's memory."""

from __future__ import annotations

import os
from select import POLLERR, POLLIN, POLLPRI

from utsuwa.errors import from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Watch(Protocol):
    """``descriptor`` is to be polled for ``mask``; when it is ready, ``happened()`` says whether it was for that."""

    descriptor: int
    mask: int

    def happened(self) -> bool:
        """Whether the memory has run out since the last time; makes the descriptor wait again."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop watching."""
        raise NotImplementedError


def watch(directories: dict[str, str]) -> Watch | None:
    """Watch the cgroup with these directories (Manager.directories); None where no controller counts its memory."""
    if path := directories.get("memory"):
        return _V1(path)
    path = directories.get("", "")
    return _V2(path) if path and os.path.exists(f"{path}/memory.events") else None


class _V1:
    """An eventfd that the kernel is given by cgroup.event_control; it also fires when the cgroup is removed."""

    mask = POLLIN

    def __init__(self, path: str) -> None:
        self._control = f"{path}/memory.oom_control"
        control = os.open(self._control, os.O_RDONLY | os.O_CLOEXEC)
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            register = os.open(f"{path}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(register, f"{self.descriptor} {control}".encode())
            finally:
                os.close(register)
        except OSError as error:
            self.close()
            raise from_oserror(error, f"watch {self._control}") from error
        finally:
            os.close(control)

    def happened(self) -> bool:
        os.eventfd_read(self.descriptor)
        return os.path.exists(self._control)

    def close(self) -> None:
        os.close(self.descriptor)


class _V2:
    """memory.events: a poll(2) answers when one of its counts has changed (cgroup v2, "memory.events")."""

    mask = POLLPRI | POLLERR

    def __init__(self, path: str) -> None:
        try:
            self.descriptor = os.open(f"{path}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_oserror(error, f"watch {path}/memory.events") from error
        self._count = self._kills() or 0

    def _kills(self) -> int | None:
        try:
            text = os.pread(self.descriptor, 4096, 0)
        except OSError:
            return None  # the cgroup is gone
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(b"oom_kill ")), 0)

    def happened(self) -> bool:
        before, now = self._count, self._kills()
        self._count = before if now is None else now
        return self._count > before

    def close(self) -> None:
        os.close(self.descriptor)
