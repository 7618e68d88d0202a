"""Waiting for changes of a directory (inotify(7)); Python has no call for it."""

from __future__ import annotations

import _ctypes
import os
from errno import EINTR
from select import POLLIN, poll

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK

# The C half of ctypes only: the package costs 2.5 ms.
_LIBRARY = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_INIT, _ADD = _ctypes.dlsym(_LIBRARY, "inotify_init1"), _ctypes.dlsym(_LIBRARY, "inotify_add_watch")


class Watch:
    """Wakes up when something in the directory was written, made or moved there; more than that is not told."""

    def __init__(self, directory: str) -> None:
        """Raises OSError where there is no such directory, or the user's limit of watches is reached."""
        self.descriptor: int = _ctypes.call_function(_INIT, (_CLOEXEC_NONBLOCK,))
        if self.descriptor < 0:
            raise OSError(0, "too many inotify watches (fs.inotify.max_user_instances)", directory)
        path = os.fsencode(directory) + b"\0"
        if _ctypes.call_function(_ADD, (self.descriptor, path, _MODIFY | _MOVED_TO | _CREATE)) < 0:
            os.close(self.descriptor)
            raise OSError(0, "can't be watched", directory)
        self._poll = poll()
        self._poll.register(self.descriptor, POLLIN)

    def wait(self, milliseconds: float | None = None) -> bool:
        """Wait for a change, at most so long; False when there was none."""
        try:
            if not self._poll.poll(milliseconds):
                return False
            os.read(self.descriptor, 65536)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EINTR:
                raise
        return True

    def close(self) -> None:
        """Stop watching."""
        os.close(self.descriptor)
