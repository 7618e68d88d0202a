"""Archives on their way out: to a file that is there whole or not at all, or to standard output unless that is a
terminal.
"""

from __future__ import annotations

import os
import stat

from utsuwa.errors import InvalidArgument, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def write_stream(chunks: Iterable[bytes], path: str, refusal: str) -> None:
    """Write ``chunks`` to ``path``, or to standard output for "". ``refusal`` is for a terminal there."""
    if not path:
        if os.isatty(1):
            raise InvalidArgument(f"{refusal}. Use the -o flag or redirect")
        for chunk in chunks:
            _write(1, chunk)
        return
    if _is_special(path):
        with open(path, "wb", buffering=0) as file:
            for chunk in chunks:
                _write(file.fileno(), chunk)
        return
    _write_file(chunks, path)


def _write_file(chunks: Iterable[bytes], path: str) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    fresh = f"{folder}/.{name[:200]}.{os.getpid()}"
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_oserror(error, f"invalid output path: {path}") from None
    try:
        for chunk in chunks:
            _write(fd, chunk)
        os.rename(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
    finally:
        os.close(fd)


def _is_special(path: str) -> bool:
    """A device or a pipe: written to as it is."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        raise InvalidArgument(f"invalid output path: {path} is a directory")
    return not stat.S_ISREG(mode)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
