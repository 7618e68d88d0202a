"""A writer of archives: PAX, the same bytes for the same tree on every machine.

Times are whole seconds, owners are numbers without names, attributes come sorted: as the other engines write
layers. The reader is :mod:`utsuwa.snapshot.tar`, whose ``Entry`` describes a member here, too.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import extents, tar
from utsuwa.snapshot.tree import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.snapshot.tar import Entry

END = bytes(2 * tar.BLOCK)
"""What an archive ends with."""
_CHUNK = 1 << 20
_NAME = 100
_ID_LIMIT = 0o7777777
_SIZE_LIMIT = 0o77777777777
_SPARE = 1 << 20
"""Bytes of holes from which on a file is worth a map of its data."""
_REPLACED = (errno.ENOENT, errno.EINVAL, errno.ELOOP, errno.ENXIO)
"""What says that there is something else by now: nothing, no link, a link, a socket."""
_OWN = ("trusted.", "user.overlay.", "system.overlay.")
_HOST = frozenset(("security.selinux", "security.ima", "security.evm", "security.apparmor", "security.SMACK64"))
_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}


def member(name: bytes, kind: bytes = tar.REGULAR, size: int = 0, mode: int = 0o644, mtime: int = 0) -> Entry:
    """A plain member of root's; ``mtime`` in nanoseconds."""
    entry = tar.Entry()
    entry.name, entry.link, entry.type = name, b"", kind
    entry.mode, entry.uid, entry.gid, entry.mtime = mode, 0, 0, mtime
    entry.size = entry.real_size = size
    entry.major = entry.minor = 0
    entry.xattrs, entry.sparse = None, None
    return entry


def header(entry: Entry) -> bytes:
    """The blocks before a member's data: an extended header where the plain one is too narrow. Raises InvalidArgument
    for an attribute that can't be archived.
    """
    records: dict[bytes, bytes] = {}
    name = entry.name + b"/" if entry.type == tar.DIRECTORY and not entry.name.endswith(b"/") else entry.name
    size = entry.size
    if entry.sparse is not None:
        table = _sparse_map(entry)
        size += len(table)
        records |= {
            b"GNU.sparse.major": b"1",
            b"GNU.sparse.minor": b"0",
            b"GNU.sparse.name": name,
            b"GNU.sparse.realsize": b"%d" % entry.real_size,
        }
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2][: _NAME - 20]
    for key, value in (entry.xattrs or {}).items():
        if "=" in key:
            raise InvalidArgument(f"{show(entry.name)}: an attribute with = in its name can't be archived")
        records[b"SCHILY.xattr." + os.fsencode(key)] = value
    block = _block(entry, name, size, records)
    extended = _extended(records, name) if records else b""
    return extended + block + (_sparse_map(entry) if entry.sparse is not None else b"")


def padding(size: int) -> bytes:
    """What fills up the last block of ``size`` bytes of data."""
    return bytes(-size % tar.BLOCK)


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of a megabyte and more: an archive of small files comes in three chunks for each, too
    small to hash, compress or write apart, or to hand to another thread.
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _block(entry: Entry, name: bytes, size: int, records: dict[bytes, bytes]) -> bytes:
    """The plain header; what does not fit goes into ``records``."""
    seconds = entry.mtime // 1_000_000_000
    if len(name) > _NAME:
        records[b"path"] = name
    if len(entry.link) > _NAME:
        records[b"linkpath"] = entry.link
    for key, value, limit in (
        (b"uid", entry.uid, _ID_LIMIT),
        (b"gid", entry.gid, _ID_LIMIT),
        (b"size", size, _SIZE_LIMIT),
        (b"mtime", seconds, _SIZE_LIMIT),
    ):
        if not 0 <= value <= limit:
            records[key] = b"%d" % value
    return _sealed(
        name, entry.link, entry.type, entry.mode, entry.uid, entry.gid, size, seconds, entry.major, entry.minor
    )


def _sealed(
    name: bytes,
    link: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    major: int,
    minor: int,
) -> bytes:
    uid, gid = (value if value <= _ID_LIMIT else 0 for value in (uid, gid))
    size, seconds = (value if 0 <= value <= _SIZE_LIMIT else 0 for value in (size, seconds))
    fields = b"%-100.100b%07o\0%07o\0%07o\0%011o\0%011o\0" % (_filled(name), mode & 0o7777, uid, gid, size, seconds)
    tail = b"%b%-100.100bustar\x0000" % (kind, _filled(link))
    devices = bytes(64) + b"%07o\0%07o\0" % (major, minor) + bytes(167)
    total = tar.total(b"".join((fields, b"        ", tail, devices)))
    return b"".join((fields, b"%06o\0 " % total, tail, devices))


def _filled(text: bytes) -> bytes:
    return text[:_NAME].ljust(_NAME, b"\0")


def _extended(records: dict[bytes, bytes], name: bytes) -> bytes:
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2]
    block = _sealed(b"PaxHeaders.0/" + base[: _NAME - 13], b"", b"x", 0o644, 0, 0, len(content), 0, 0, 0)
    return block + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    """``length key=value``; the length counts its own digits."""
    body = b" %b=%b\n" % (key, value)
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return b"%d%b" % (length, body)


def _sparse_map(entry: Entry) -> bytes:
    """GNU's format 1.0: the number of regions and their places, one number a line, before the data."""
    regions = entry.sparse or []
    lines = [b"%d\n" % len(regions), *(b"%d\n%d\n" % region for region in regions)]
    table = b"".join(lines)
    return table + padding(len(table))


class Archiver:
    """Members made from what is on the disk. ``newest``: the latest time a member may have, in seconds
    (SOURCE_DATE_EPOCH), None for no limit.
    """

    def __init__(self, newest: int | None = None) -> None:
        self._newest = None if newest is None else newest * 1_000_000_000
        self._links: dict[tuple[int, int], bytes] = {}

    def put(self, directory: int, name: bytes, path: bytes, state: os.stat_result) -> Iterator[bytes]:
        """The member ``path`` from ``name`` in the open ``directory``; nothing for a socket, which no archive can hold,
        and for what has just vanished, or is something else by now.
        """
        kind = _KINDS.get(stat.S_IFMT(state.st_mode))
        if kind is None:
            return
        known = self._links.setdefault((state.st_dev, state.st_ino), path) if self._is_shared(state) else path
        entry = self._entry(path, kind, state)
        if known != path:
            entry.type, entry.link, entry.size = tar.LINK, known, 0
            yield header(entry)
            return
        fd = -1
        try:
            if kind == tar.REGULAR:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            elif kind == tar.SYMLINK:
                entry.link = os.readlink(name, dir_fd=directory)
            if fd < 0:
                entry.xattrs = attributes(directory, name)
        except OSError as error:
            if error.errno in _REPLACED:
                return
            raise
        yield from self._file(fd, entry) if fd >= 0 else (header(entry),)

    def mark(self, path: bytes) -> bytes:
        """An empty file, as which a layer writes a deletion."""
        return header(member(path, mode=0, mtime=0))

    @staticmethod
    def _is_shared(state: os.stat_result) -> bool:
        return state.st_nlink > 1 and not stat.S_ISDIR(state.st_mode)

    def _entry(self, path: bytes, kind: bytes, state: os.stat_result) -> Entry:
        entry = member(path, kind, 0, stat.S_IMODE(state.st_mode), state.st_mtime_ns)
        if self._newest is not None:
            entry.mtime = min(entry.mtime, self._newest)
        entry.uid, entry.gid = state.st_uid, state.st_gid
        if kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            entry.major, entry.minor = os.major(state.st_rdev), os.minor(state.st_rdev)
        return entry

    @staticmethod
    def _file(fd: int, entry: Entry) -> Iterator[bytes]:
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):  # replaced since it was looked at
                return
            entry.size = entry.real_size = state.st_size
            entry.xattrs = _read_attributes(fd)
            regions = _regions(fd, state)
            if regions is not None:
                entry.sparse, entry.size = regions, sum(length for _, length in regions)
            yield header(entry)
            for offset, length in [(0, entry.size)] if regions is None else regions:
                yield from _data(fd, offset, length)
            yield padding(entry.size)
        finally:
            os.close(fd)


def _regions(fd: int, state: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file has data, None for one that is archived whole: it may say a terabyte and hold a block."""
    if state.st_size - state.st_blocks * 512 < _SPARE:
        return None
    found = []
    for begin, end in extents.extents(fd, state.st_size):
        found.append((begin, end - begin))
        if len(found) > tar.SPARSE_LIMIT:
            return None
    return found


def _data(fd: int, offset: int, length: int) -> Iterator[bytes]:
    """Exactly ``length`` bytes: zeros for what a running process has cut off meanwhile."""
    while length > 0:
        piece = os.pread(fd, min(_CHUNK, length), offset) or bytes(min(_CHUNK, length))
        yield piece
        offset += len(piece)
        length -= len(piece)


def attributes(directory: int, name: bytes) -> dict[str, bytes] | None:
    """The extended attributes that a layer carries, of something that need not be opened."""
    return _read_attributes(f"/proc/self/fd/{directory}/".encode() + name)


def _read_attributes(where: int | bytes) -> dict[str, bytes] | None:
    follow = {} if isinstance(where, int) else {"follow_symlinks": False}
    try:
        names = os.listxattr(where, **follow)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
            return None
        raise
    wanted = sorted(name for name in names if not name.startswith(_OWN) and name not in _HOST)
    return {name: os.getxattr(where, name, **follow) for name in wanted} or None
