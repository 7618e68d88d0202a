"""COPY and ADD carried out: where members go in the image, with whose name and mode, as the archive of a layer.

Where they go is looked up in the image below, whose links never lead out of it; what is in the way is an error, as with
BuildKit. The archive is then applied like one from a registry, by code that trusts nothing in it.
"""

from __future__ import annotations

import os
import stat

from utsuwa.build import archives, places
from utsuwa.build.members import Member, plain_state, with_attributes
from utsuwa.errors import Conflict, InvalidArgument
from utsuwa.snapshot import archive, tar
from utsuwa.snapshot.merged import Merged
from utsuwa.snapshot.tree import show
from utsuwa.spec import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from utsuwa.build.places import Path

_CHUNK = 1 << 20
_LINKS = 40
"""As many symbolic links as the kernel follows in one path."""


class Wish:
    """Owner and mode that ``--chown`` and ``--chmod`` ask for; None keeps what the source has, but ``to_root``.

    ``moment``: nanoseconds, the time of directories that are made on the way; ``newest``: seconds, as in Archiver.
    """

    def __init__(
        self,
        owner: tuple[int, int] | None,
        mode: Callable[[int], int] | None,
        to_root: bool,
        moment: int,
        newest: int | None,
    ) -> None:
        self.owner, self.mode, self._to_root = owner, mode, to_root
        self.moment, self.newest = moment, newest

    @property
    def directory(self) -> os.stat_result:
        """Attributes of a directory that is made on the way."""
        uid, gid = self.owner or (0, 0)
        return plain_state(stat.S_IFDIR | 0o755, uid, gid, mtime=self.moment)

    def apply(self, state: os.stat_result) -> os.stat_result:
        """The attributes that something is to have."""
        uid, gid = self.owner or ((0, 0) if self._to_root else (state.st_uid, state.st_gid))
        mode = state.st_mode
        if self.mode is not None and not stat.S_ISLNK(mode):
            mode = stat.S_IFMT(mode) | self.mode(mode)
        return with_attributes(state, mode, uid, gid)


class Ground:
    """The image that a layer is made for: where its paths lead, what is there, and what this layer has put there."""

    def __init__(self, root: Merged) -> None:
        self._root = root
        self._made: dict[Path, bool] = {(): True}
        self._links: dict[Path, bytes] = {}
        self._directories: dict[Path, Merged] = {}

    def resolve(self, path: Path) -> tuple[Path, os.stat_result | None]:
        """A path without links, and what the image has there."""
        with places.find(self._root, path) as found:
            return found.path, found.state

    def missing(self, path: Path) -> Iterator[Path]:
        """The directories that a layer must make before something can be at ``path``, which has no links in it."""
        for length in range(1, len(path)):
            parent = path[:length]
            if self._made.get(parent) is None:
                is_directory = self._kind(parent)
                if is_directory is False:
                    raise Conflict(f"cannot copy to non-directory: /{show(b'/'.join(parent))}")
                self._made[parent] = True
                if is_directory is None:
                    yield parent

    def take(self, path: Path, is_directory: bool) -> None:
        """Something is put at a path. Raises Conflict where one of the two, what is there or this, is a directory."""
        before = self._made.get(path)
        before = self._kind(path) if before is None else before
        if before is not None and before != is_directory:
            problem = "cannot copy to non-directory" if is_directory else "cannot replace directory with file"
            raise Conflict(f"{problem}: /{show(b'/'.join(path))}")
        self._made[path] = is_directory

    def replace(self, path: Path, is_directory: bool, link: bytes | None = None) -> None:
        """Something is put at a path, whatever was there; ``link`` is where a symbolic link points."""
        self._made[path] = is_directory
        self._links.pop(path, None)
        if link is not None:
            self._links[path] = link

    def follow(self, path: Path) -> Path:
        """A path without links, those that this layer has made included."""
        waiting, links = list(path), 0
        done: Path = ()
        while waiting:
            name = waiting.pop(0)
            if name == b"..":
                done = done[:-1]
                continue
            link = self._link((*done, name))
            if link is None:
                done = (*done, name)
                continue
            links += 1
            if links > _LINKS:
                raise InvalidArgument(f"{show(b'/'.join(path))}: too many levels of symbolic links")
            done = () if link.startswith(b"/") else done
            waiting = [*places.split(link), *waiting]
        return done

    def _link(self, path: Path) -> bytes | None:
        """Where a path's last name points, None when it is no symbolic link."""
        if path in self._links:
            return self._links[path]
        if path in self._made:
            return None
        known = places.look(self._enter(path[:-1]), path[-1])
        if known is None or not stat.S_ISLNK(known[1].st_mode):
            return None
        return os.readlink(path[-1], dir_fd=known[0])

    def _kind(self, path: Path) -> bool | None:
        """Whether the image has a directory there; None for nothing."""
        known = places.look(self._enter(path[:-1]), path[-1])
        return None if known is None else stat.S_ISDIR(known[1].st_mode)

    def _enter(self, path: Path) -> Merged:
        """The image's directory at a path, without contents when there is none; kept open for its neighbours."""
        known = self._directories.get(path)
        if known is None:
            if not path:
                known = Merged([os.dup(fd) for fd in self._root.directories])
            else:
                outer = self._enter(path[:-1])
                known = outer.enter(path[-1])
            for other in [other for other in self._directories if other != path[: len(other)]]:
                self._directories.pop(other).close()
            self._directories[path] = known
        return known

    def close(self) -> None:
        """Close what is open."""
        for directory in self._directories.values():
            directory.close()
        self._directories = {}


def digest_of(members: Iterable[Member], wish: Wish) -> str:
    """What a cache knows a copy by: paths, kinds, modes, owners, attributes and contents, but no times."""
    running = digest.hasher()
    for member in members:
        state = wish.apply(member.state)
        about = (member.archive, member.path, state.st_mode, state.st_uid, state.st_gid, state.st_rdev)
        running.update(repr(about).encode())
        if member.data is not None:
            running.update(repr(member.data).encode())
        elif stat.S_ISLNK(state.st_mode):
            running.update(os.readlink(member.name, dir_fd=member.directory))
        elif stat.S_ISREG(state.st_mode):
            running.update(_content(member))
        if member.directory >= 0 and not stat.S_ISLNK(state.st_mode):
            running.update(repr(archive.attributes(member.directory, member.name)).encode())
    found: str = running.hexdigest()
    return found


def _content(member: Member) -> bytes:
    """The digest of a file's bytes."""
    running = digest.hasher()
    fd = places.open_file(member.directory, member.name)
    try:
        while chunk := os.read(fd, _CHUNK):
            running.update(chunk)
    finally:
        os.close(fd)
    content: bytes = running.digest()
    return content


def archived(members: Iterable[Member], wish: Wish, ground: Ground) -> Iterator[bytes]:
    """The archive of a layer that holds the members, and the directories that they need."""
    archiver = archive.Archiver(wish.newest)
    try:
        for member in members:
            if member.path and member.path[-1].startswith(b".wh."):
                raise InvalidArgument(
                    f"{show(b'/'.join(member.path))}: a layer can't hold a name that begins with .wh."
                )
            if member.archive:
                yield from archives.unpacked(member, wish, ground)
                continue
            state = wish.apply(member.state)
            for parent in ground.missing(member.path):
                yield archives.made(parent, wish)
            ground.take(member.path, stat.S_ISDIR(state.st_mode))
            if member.data is not None or member.directory < 0:
                yield _plain(member.path, state, member.data or b"")
            else:
                path = b"/".join(member.path) or b"."
                yield from archiver.put(member.directory, member.name, path, state)
        yield archive.END
    finally:
        ground.close()


def _plain(path: Path, state: os.stat_result, data: bytes) -> bytes:
    """A member that is not on the disk."""
    kind = tar.DIRECTORY if stat.S_ISDIR(state.st_mode) else tar.REGULAR
    entry = archive.member(b"/".join(path) or b".", kind, len(data), stat.S_IMODE(state.st_mode), state.st_mtime_ns)
    entry.uid, entry.gid = state.st_uid, state.st_gid
    return archive.header(entry) + data + archive.padding(len(data))
