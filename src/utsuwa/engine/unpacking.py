"""An archive into a tree that is there already, with Docker's rules for `cp`: directories merge, files are replaced,
and neither takes the other's place.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.errors import InvalidArgument, Unsupported, from_oserror
from utsuwa.snapshot import tar
from utsuwa.snapshot.apply import owner_problem
from utsuwa.snapshot.extents import need_room
from utsuwa.snapshot.tree import show, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.engine.inside import Inside
    from utsuwa.snapshot.tar import Entry

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGE = 1 << 24
"""Bytes from which on it is asked first whether a file has room on the disk: it may say what it likes."""
_DEVICES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK}


class Unpacker:
    """Puts the members of one archive beneath ``base`` of a tree.

    ``rights``: owners, set-id bits, attributes and devices are made as archived; without, files are ours and plain, and
    ``skipped`` holds the names of the devices. ``owner``: the uid and gid of everything, whatever the archive says.
    """

    def __init__(
        self, place: Inside, base: bytes, *, rights: bool = True, owner: tuple[int, int] | None = None
    ) -> None:
        self._place, self._base, self._rights, self._owner = place, base, rights, owner
        self._stream = tar.Stream(iter(()))
        self._times: dict[bytes, int] = {}
        self._open: tuple[bytes, int] | None = None
        self.skipped: list[str] = []

    def run(self, chunks: Iterator[bytes]) -> int:
        """Read to the archive's end; the bytes taken. Raises InvalidArgument, and kinds for what the kernel refuses."""
        self._stream = tar.Stream(chunks)
        try:
            for entry in tar.entries(self._stream):
                try:
                    self._put(entry)
                except OSError as error:
                    if error.errno == errno.EINVAL and (problem := owner_problem(entry.uid, entry.gid)):
                        raise Unsupported(f"{show(entry.name)}: {problem}") from None
                    raise from_oserror(error, show(entry.name)) from None
            self._finish()
        finally:
            self._leave()
        return self._stream.taken

    def _put(self, entry: Entry) -> None:
        path = split(entry.name)
        if not path:  # the top, which is there
            return self._stream.skip(entry.size)
        parent, name = self._directory(b"/".join(path[:-1])), path[-1]
        if entry.type == tar.REGULAR:  # the most frequent by far, and most of them are new
            try:
                return self._make_file(entry, parent, name)
            except FileExistsError:
                pass
        if not self._make_room(entry, parent, name):
            return None
        if entry.type == tar.DIRECTORY:
            return self._make_directory(entry, parent, b"/".join(path))
        if entry.type == tar.REGULAR:
            return self._make_file(entry, parent, name)
        if entry.type == tar.LINK:
            return self._make_link(entry, parent, name)
        if entry.type in _DEVICES and not self._rights:
            self.skipped.append(show(entry.name))
            return None
        return self._make_special(entry, parent, name)

    def _make_room(self, entry: Entry, parent: int, name: bytes) -> bool:
        """Remove a file that is replaced; False for a directory's entry that is there. Raises InvalidArgument."""
        try:
            state = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return True
        was, becomes = stat.S_ISDIR(state.st_mode), entry.type == tar.DIRECTORY
        if was and not becomes:
            raise InvalidArgument(f'cannot overwrite directory "{show(entry.name)}" with non-directory')
        if becomes and not was:
            raise InvalidArgument(f'cannot overwrite non-directory "{show(entry.name)}" with directory')
        if not was:
            os.unlink(name, dir_fd=parent)
        return True

    # --- members ----------------------------------------------------------------------------------------------------

    def _make_directory(self, entry: Entry, parent: int, path: bytes) -> None:
        name = path.rpartition(b"/")[2]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._set_rights(entry, fd)
        finally:
            os.close(fd)
        self._times[path] = entry.mtime

    def _make_file(self, entry: Entry, parent: int, name: bytes) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            if entry.sparse is None:
                self._copy(fd, entry.size)
            else:
                for offset, length in entry.sparse:
                    os.lseek(fd, offset, os.SEEK_SET)
                    self._copy(fd, length)
                os.ftruncate(fd, entry.real_size)
            self._set_rights(entry, fd)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _copy(self, fd: int, length: int) -> None:
        if length > _LARGE:
            need_room(fd, length)
        for piece in self._stream.pieces(length):
            while piece:
                piece = piece[os.write(fd, piece) :]

    def _set_rights(self, entry: Entry, fd: int) -> None:
        """The order matters: a change of owner takes the set-id bits, and both take file capabilities away."""
        if self._rights:
            os.fchown(fd, *(self._owner or (entry.uid, entry.gid)))
        os.fchmod(fd, entry.mode & (0o7777 if self._rights else 0o1777))
        for name, value in (entry.xattrs or {}).items() if self._rights else ():
            if name.startswith(("user.", "security.capability")):
                os.setxattr(fd, name, value)

    def _make_link(self, entry: Entry, parent: int, name: bytes) -> None:
        above, _, target = b"/".join(split(entry.link)).rpartition(b"/")
        held = os.dup(parent)  # opening another directory closes it
        try:
            source = self._directory(above)
            os.link(target, name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
        finally:
            os.close(held)

    def _make_special(self, entry: Entry, parent: int, name: bytes) -> None:
        if entry.type == tar.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent)
        elif entry.type == tar.FIFO:
            os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
        elif entry.type in _DEVICES:
            kind = _DEVICES[entry.type] | (entry.mode & 0o777)
            os.mknod(name, kind, os.makedev(entry.major, entry.minor), dir_fd=parent)
        else:
            raise Unsupported(f"{show(entry.name)}: an entry of type {entry.type!r} in the archive is not supported")
        if self._rights:
            os.chown(name, *(self._owner or (entry.uid, entry.gid)), dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    # --- directories ------------------------------------------------------------------------------------------------

    def _directory(self, path: bytes) -> int:
        """The directory at ``path`` beneath the base; the last one stays open, as members of one follow each other."""
        if self._open is None or self._open[0] != path:
            self._leave()
            self._open = (path, self._place.make(os.path.join(self._base, path) if path else self._base))
        return self._open[1]

    def _leave(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _finish(self) -> None:
        """Directories get their times when nothing is put into them any more, the deepest first."""
        for path in sorted(self._times, reverse=True):
            above, _, name = path.rpartition(b"/")
            mtime = self._times[path]
            os.utime(name, ns=(mtime, mtime), dir_fd=self._directory(above), follow_symlinks=False)
