"""Files into and out of containers (`cp`), running or not: trees of the host, and archives.

Where a thing goes is Docker's rule: into a directory that is there, else by the destination's own name; what ends in
``/.`` stands for the contents of a directory.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from utsuwa.engine import events, roots
from utsuwa.engine.inside import Found, Inside
from utsuwa.engine.owners import owner
from utsuwa.engine.packing import pack
from utsuwa.engine.syscalls import BENEATH, NO_SYMLINKS
from utsuwa.engine.unpacking import Unpacker
from utsuwa.errors import InvalidArgument, NotFound, from_oserror
from utsuwa.snapshot.archive import blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths


class Source:
    """What is copied: a thing by its directory and name; ``top`` is what it is called, b"." when only its contents
    count.
    """

    def __init__(self, parent: int, name: bytes, top: bytes, is_directory: bool) -> None:
        self.parent, self.name, self.top, self.is_directory = parent, name, top, is_directory


class Copies:
    """Copies from and to the container of one record."""

    def __init__(self, paths: Paths, record: ContainerRecord) -> None:
        self._paths, self._record = paths, record

    def get(self, path: str, destination: str, *, follow: bool = False, rights: bool = False) -> tuple[int, list[str]]:
        """Copy from the container to the host; the bytes of the archive that it was, and the devices left out.

        ``follow``: a link at the end of ``path`` is followed. ``rights``: with owners, set-id bits and devices.
        """
        _check_output(destination)
        with self._tree() as place, self._source(place, path, follow) as source:
            found = _local(destination)
            base, top = _target(source, found, destination.endswith("/"))
            fd = _directory(base)
            try:
                unpacker = Unpacker(Inside(fd, BENEATH | NO_SYMLINKS), b"", rights=rights)
                taken = unpacker.run(pack(source.parent, source.name, top))
            finally:
                os.close(fd)
        events.note(self._paths, self._record, "archive-path")
        return taken, unpacker.skipped

    def archive(self, path: str, *, follow: bool = False) -> Iterator[bytes]:
        """What is at ``path`` as a tar archive, in chunks."""
        with self._tree() as place, self._source(place, path, follow) as source:
            yield from blocks(pack(source.parent, source.name, source.top))
        events.note(self._paths, self._record, "archive-path")

    def put(self, source: str, path: str, *, follow: bool = False, as_user: bool = False) -> int:
        """Copy from the host into the container; the bytes of the archive that it was.

        Owners stay the numbers that they are, or (``as_user``) become the user that the container was made for.
        """
        with self._tree() as place, _host_source(source, follow) as found:
            base, top = _target(found, self._destination(place, path), path.endswith("/"))
            return self._unpack(place, base, pack(found.parent, found.name, top), as_user)

    def extract(self, chunks: Iterator[bytes], path: str, *, as_user: bool = False) -> int:
        """Unpack a tar archive into a directory of the container; the bytes of it."""
        with self._tree() as place:
            found = self._look(place, _clean(path), True)
            if not found.is_directory:
                raise NotFound(f'destination "{self._record.name}:{path}" must be a directory')
            return self._unpack(place, found.path, chunks, as_user)

    def _unpack(self, place: Inside, base: bytes, chunks: Iterator[bytes], as_user: bool) -> int:
        user = self._record.user or ""
        ids = owner(place, user) if as_user and user not in ("", "0") else None
        taken = Unpacker(place, base, owner=ids).run(chunks)
        events.note(self._paths, self._record, "extract-to-dir")
        return taken

    def _tree(self) -> AbstractContextManager[Inside]:
        return roots.opened(self._paths, self._record)

    @contextmanager
    def _source(self, place: Inside, path: str, follow: bool) -> Iterator[Source]:
        contents = _is_contents(path)
        clean = _clean(path)
        found = self._look(place, clean, follow or contents or path.endswith("/"))
        if found.state is None:
            raise self._missing(clean)
        parent, name = place.directory(os.path.dirname(found.path)), os.path.basename(found.path) or b"."
        try:
            top = b"." if contents or clean == b"/" else os.path.basename(clean)
            yield Source(parent, name, top, found.is_directory)
        finally:
            os.close(parent)

    def _destination(self, place: Inside, path: str) -> Found:
        found = self._look(place, _clean(path), True)
        above = os.path.dirname(found.path)
        if found.state is None and not self._look(place, above, True).is_directory:
            raise self._missing(above)
        return found

    def _look(self, place: Inside, path: bytes, follow: bool) -> Found:
        try:
            return place.look(path, follow)
        except NotADirectoryError:
            raise self._missing(path) from None
        except OSError as error:
            raise from_oserror(error, f"{self._record.name}:{os.fsdecode(path)}") from error

    def _missing(self, path: bytes) -> NotFound:
        return NotFound(f"Could not find the file {os.fsdecode(path)} in container {self._record.name}")


@contextmanager
def _host_source(path: str, follow: bool) -> Iterator[Source]:
    contents = _is_contents(path)
    absolute = os.path.abspath(path)
    look: Callable[[str], os.stat_result] = os.stat if follow or contents or path.endswith("/") else os.lstat
    try:
        state = look(absolute)
    except OSError as error:
        raise NotFound(f"lstat {absolute}: {(error.strerror or '').lower()}") from None
    real = os.path.realpath(absolute) if look is os.stat else absolute
    directory, name = os.path.split(real)
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        top = "." if contents or not name else os.path.basename(absolute)
        yield Source(parent, os.fsencode(name) or b".", os.fsencode(top), stat.S_ISDIR(state.st_mode))
    finally:
        os.close(parent)


def _directory(path: bytes) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, f"open {os.fsdecode(path)}") from error


def _target(source: Source, found: Found, slash: bool) -> tuple[bytes, bytes]:
    """The directory that a copy goes to, and what it is called there. ``slash``: the destination ends with one."""
    if found.is_directory:
        return found.path, source.top
    if found.state is not None and source.is_directory:
        raise InvalidArgument("cannot copy directory")
    if found.state is None and slash and not source.is_directory:
        raise NotFound("no such directory")
    return os.path.dirname(found.path), os.path.basename(found.path)


def _local(path: str) -> Found:
    real = os.path.realpath(path)
    try:
        return Found(os.fsencode(real), os.stat(real))
    except OSError:
        return Found(os.fsencode(real), None)


def _check_output(path: str) -> None:
    absolute = os.path.abspath(path)
    if not os.path.isdir(os.path.dirname(absolute)):
        raise InvalidArgument(f'invalid output path: directory "{os.path.dirname(absolute)}" does not exist')
    if os.path.exists(absolute) and not (os.path.isdir(absolute) or os.path.isfile(absolute)):
        raise InvalidArgument(f'invalid output path: "{absolute}" must be a directory or a regular file')


def _is_contents(path: str) -> bool:
    return path.rpartition("/")[2] == "."


def _clean(path: str) -> bytes:
    """Absolute, without ``.``, ``..`` and slashes that change nothing, as Docker reads paths of containers."""
    return os.fsencode(os.path.normpath(f"/{path}").replace("//", "/"))
