"""The files that images are saved in: a directory of the user's, or the members of a tar archive, compressed or not."""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument, NotFound, from_oserror
from utsuwa.snapshot import compression, tar
from utsuwa.snapshot.extents import need_room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMBER_LIMIT = 100_000
_CHUNK = 1 << 20
_HEADERS = 1 << 14


def open_layout(path: str, scratch: str) -> Layout:
    """What is at ``path``; a compressed archive is unpacked into the file system of ``scratch`` first. The caller
    closes it. Raises what :mod:`utsuwa.errors` has for it.
    """
    try:
        return _Directory(path) if os.path.isdir(path) else _Archive(path, scratch)
    except OSError as error:
        raise from_oserror(error, path) from None


class Layout:
    """The files of a layout, or of another archive of images, by their relative names."""

    is_archive = False
    """Names can't lead anywhere else."""

    def open(self, name: str) -> tuple[int, int, int]:
        """A descriptor, where the file begins in it, and its size; raises NotFound."""
        raise NotImplementedError

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file."""
        fd, offset, size = self.open(name)
        while size > 0 and (chunk := os.pread(fd, min(_CHUNK, size), offset)):
            offset += len(chunk)
            size -= len(chunk)
            yield chunk

    def read(self, name: str, limit: int) -> bytes:
        """A small file whole."""
        if self.open(name)[2] > limit:
            raise InvalidArgument(f"{name} is over the limit of {limit} bytes")
        return b"".join(self.chunks(name))

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""


class _Directory(Layout):
    """A layout as a directory of the user's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def open(self, name: str) -> tuple[int, int, int]:
        self.close()
        try:
            self._fd = os.open(f"{self._path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise from_oserror(error, name) from None
        return self._fd, 0, os.fstat(self._fd).st_size

    def has(self, name: str) -> bool:
        return os.path.isfile(f"{self._path}/{name}")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Archive(Layout):
    """A layout in a tar file, compressed or not: a table of its members, in one pass."""

    is_archive = True

    def __init__(self, path: str, scratch: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._uncompress(scratch)
            stream = tar.Stream(iter(lambda: os.read(self._fd, _HEADERS), b""), self._leap)
            for entry in tar.entries(stream):
                name = entry.name.decode("utf-8", "replace").removeprefix("./")
                if entry.type == tar.REGULAR and entry.sparse is None:
                    self._members[name] = (stream.taken, entry.size)
                elif entry.type == tar.SYMLINK:  # docker save's old way to write a layer once that two images have
                    target = os.path.join(os.path.dirname(name), entry.link.decode("utf-8", "replace"))
                    self._links[name] = os.path.normpath(target)
                if len(self._members) + len(self._links) > _MEMBER_LIMIT:
                    raise InvalidArgument(f"{path}: more than {_MEMBER_LIMIT} members")
                stream.skip(entry.size)
        except Error as error:
            self.close()
            raise error.within(path) from None
        except BaseException:
            self.close()
            raise

    def _leap(self, count: int) -> None:
        """Of large members only the headers are read: their data are read once, when they are wanted."""
        if os.lseek(self._fd, count, os.SEEK_CUR) > os.fstat(self._fd).st_size:
            raise InvalidArgument("the archive is truncated")

    def _uncompress(self, scratch: str) -> None:
        """Members are read at their offsets, so a compressed archive is unpacked to a file without a name first."""
        if os.pread(self._fd, 263, 0)[257:262] == b"ustar":
            return
        os.makedirs(scratch, 0o700, exist_ok=True)
        plain = os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        source, self._fd = self._fd, plain
        try:
            for piece in compression.decompressed(lambda count: os.read(source, count), whole=True):
                need_room(plain, len(piece))  # a bomb fills the disk to here, and is gone with its file
                view = memoryview(piece)
                while view:
                    view = view[os.write(plain, view) :]
        finally:
            os.close(source)
        os.lseek(plain, 0, os.SEEK_SET)

    def open(self, name: str) -> tuple[int, int, int]:
        found = self._members.get(self._links.get(name, name))
        if found is None:
            raise NotFound(f"{name} is not in the archive")
        return self._fd, *found

    def has(self, name: str) -> bool:
        return self._links.get(name, name) in self._members

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
