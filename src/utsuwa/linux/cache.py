"""Small files that save time: a directory that is the caller's alone, and may be lost at any moment.

Whoever can write an entry decides what a container may do. So the directory's owner and mode are checked on every use,
links are not followed, and each entry carries a hash of its name and its content, which finds torn writes too.
"""

from __future__ import annotations

import os
from _blake2 import blake2b
from stat import S_ISREG

from utsuwa.errors import PermissionDenied

_MOST_ENTRIES = 64
_SEAL = 32
"""Bytes of the hash that stands before the content."""


class Cache:
    """An open cache directory, made with mode 0700 when it is missing (its parent must exist).

    Raises OSError where there can't be one, PermissionDenied when it isn't the caller's alone.
    """

    def __init__(self, directory: str) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._handle = os.open(directory, flags)
        except FileNotFoundError:
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:
                pass
            self._handle = os.open(directory, flags)
        status = os.fstat(self._handle)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            self.close()
            raise PermissionDenied(f"{directory}: others could write here: make it yours alone (mode 0700)")

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._handle)

    def read(self, name: str, largest: int) -> bytes | None:
        """The entry, of at most ``largest`` bytes; None where it is missing or not what was written."""
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._handle)
        except OSError:
            return None
        try:
            status = os.fstat(file)
            if not S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > largest + _SEAL:
                return None
            data = os.read(file, status.st_size + 1)
        finally:
            os.close(file)
        body = data[_SEAL:]
        return body if data[:_SEAL] == _seal(name, body) else None

    def linked(self, name: str) -> str:
        """What a link of this name says, the name of an entry as a rule; "" where there is none."""
        try:
            target = os.readlink(name, dir_fd=self._handle)
        except OSError:
            return ""
        return "" if "/" in target else target

    def link(self, name: str, target: str) -> None:
        """Have the link say something else; where that can't be, it stays as it was."""
        temporary = f"{name}.{os.getpid()}"
        try:
            os.symlink(target, temporary, dir_fd=self._handle)
            os.rename(temporary, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except OSError:
            return

    def write(self, name: str, body: bytes) -> None:
        """Leave an entry; where it can't be written, it is not there. Of 64 entries the next one takes the place."""
        temporary = f"{name}.{os.getpid()}"
        try:
            entries = os.listdir(self._handle)
            if len(entries) >= _MOST_ENTRIES:  # starting over is simpler than keeping ages
                for entry in entries:
                    os.unlink(entry, dir_fd=self._handle)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(temporary, flags, 0o600, dir_fd=self._handle)
        except OSError:
            return  # full, read-only, or another process at the same entry
        try:
            os.write(file, _seal(name, body) + body)
            os.rename(temporary, name, src_dir_fd=self._handle, dst_dir_fd=self._handle)
        except OSError:
            os.unlink(temporary, dir_fd=self._handle)
        finally:
            os.close(file)


def _seal(name: str, body: bytes) -> bytes:
    """Binds the content to the name, so that an entry can't be passed off as another."""
    return blake2b(name.encode() + body, digest_size=_SEAL).digest()
