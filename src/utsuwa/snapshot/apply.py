"""A layer archive becomes a directory as overlayfs wants it (OCI image-layer-spec, "Applying Changesets").

The author of the archive is an enemy: names never leave the layer's tree (see :mod:`utsuwa.snapshot.tree`), the
attributes that steer overlayfs are refused, devices may be, and the free space is watched. The process must have umask
0.

Layers are applied apart from one another, so what depends on lower layers is left in :class:`Outcome` for whoever
stacks them: directories that the archive assumes (their attributes come from below) and hard links to files that are
not in this layer.
"""

from __future__ import annotations

import errno
import os
import stat

from utsuwa.errors import InvalidArgument, PermissionDenied, Unavailable, Unsupported, from_oserror
from utsuwa.linux.host import in_user_namespace
from utsuwa.linux.idmaps import is_mapped
from utsuwa.snapshot import tar
from utsuwa.snapshot.extents import RESERVE
from utsuwa.snapshot.merged import opaque_attribute
from utsuwa.snapshot.tree import Tree, is_whiteout, remove, show, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.snapshot.tar import Entry, Stream

    Path = tuple[bytes, ...]
    Maker = Callable[[Entry, int, bytes], None]

_WHITEOUT = b".wh."
_OPAQUE_MARK = b".wh..wh..opq"
_AUFS = b".wh..wh."
_REFUSED_XATTRS = ("trusted.overlay.", "user.overlay.", "system.overlay.")
# What these say is the host's own policy: an image neither may nor needs to set them (Docker and containerd leave them
# out as well).
_HOST_XATTRS = frozenset(("security.selinux", "security.ima", "security.evm", "security.apparmor", "security.SMACK64"))
_ID_LIMIT = 0xFFFF_FFFE
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WATCH_STEP = 64 << 20


class Limits:
    """What one layer may cost. Sizes in bytes; ``reserve`` is kept free on the disk; devices are for root outside user
    namespaces.
    """

    def __init__(
        self,
        entries: int = 2_000_000,
        depth: int = 256,
        size: int = 1 << 42,
        reserve: int = RESERVE,
        trailing: int = 64 << 20,
        devices: bool = True,
    ) -> None:
        self.entries = entries
        self.depth = depth
        self.size = size
        self.reserve = reserve
        self.trailing = trailing
        self.devices = devices


class Outcome:
    """What became of an archive: bytes of data, entries, and what only the layers below can settle."""

    def __init__(self) -> None:
        self.size = 0
        self.entries = 0
        self.implicit: set[bytes] = {b""}
        self.links: list[tuple[bytes, bytes]] = []


def apply(stream: Stream, top: int, limits: Limits | None = None) -> Outcome:
    """Write the archive in ``stream`` into the empty directory open at ``top``; the stream is read to its end.

    Raises InvalidArgument for broken and hostile archives, PermissionDenied for devices that are not allowed,
    Unavailable when the disk is full. What was written by then stays: the caller removes the tree.
    """
    applier = _Applier(stream, top, limits or Limits())
    try:
        for entry in tar.entries(stream):
            try:
                applier.put(entry)
            except OSError as error:
                raise _worded(error, entry.name, entry) from None
        applier.finish()
        stream.drain(applier.limits.trailing)
    finally:
        applier.tree.close()
    return applier.outcome


def _worded(error: OSError, name: bytes, entry: Entry | None = None) -> Exception:
    if entry and error.errno == errno.EINVAL and (problem := owner_problem(entry.uid, entry.gid)):
        return Unsupported(f"{show(name)}: {problem}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"{show(name)}: no space left on the disk, free some and try again")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidArgument(f"{show(name)}: a name too long for the file system")
    if error.errno in (errno.EFBIG, errno.ERANGE, errno.E2BIG):
        return InvalidArgument(f"{show(name)}: {(error.strerror or '').lower()}")
    return from_oserror(error, show(name))


def owner_problem(uid: int, gid: int) -> str:
    """Why somebody in a user namespace can't own a file, "" where that is not in the way."""
    if not in_user_namespace() or (is_mapped(uid, "uid") and is_mapped(gid, "gid")):
        return ""
    return f"owner {uid}:{gid} is none of the ids that this user has (see /etc/subuid and /etc/subgid)"


class _Applier:
    def __init__(self, stream: Stream, top: int, limits: Limits) -> None:
        self.stream = stream
        self.tree = Tree(top)
        self.limits = limits
        self.outcome = Outcome()
        self._top = top
        self._watched = -_WATCH_STEP
        self._directories: dict[Path, tuple[int, int]] = {}
        # The directory of the last file, by its archived name: nearly always the next file's as well. Forgotten when
        # anything else comes, since only Tree.directory may close a descriptor or change what a name leads to.
        self._head: bytes | None = None
        self._parent = top
        self._real: Path = ()
        self._makers: dict[bytes, Maker] = {
            tar.REGULAR: self._file,
            tar.SYMLINK: self._symlink,
            tar.CHARACTER: self._device,
            tar.BLOCK_DEVICE: self._device,
            tar.FIFO: self._fifo,
        }

    def put(self, entry: Entry) -> None:
        """Make one entry, in place of whatever this archive had there before."""
        outcome = self.outcome
        outcome.entries += 1
        if outcome.entries > self.limits.entries:
            raise InvalidArgument(f"the layer has more than {self.limits.entries} entries")
        head, _, name = entry.name.rpartition(b"/")
        if head == self._head and entry.type == tar.REGULAR and _is_name(name):
            self._check(entry)
            return self._make(self._file, entry, self._parent, (*self._real, name))
        self._head = None
        path = split(entry.name, self.limits.depth)
        if _WHITEOUT in entry.name and self._marks(entry, path):
            return self.stream.skip(entry.size)
        if not path:
            return self._root(entry)
        self._check(entry)
        parent, real = self.tree.directory(tuple(path[:-1]), self._make_missing)
        if entry.type == tar.DIRECTORY:
            return self._directory(entry, parent, (*real, path[-1]))
        if entry.type == tar.LINK:
            return self._link(entry, parent, (*real, path[-1]))
        maker = self._makers.get(entry.type)
        if maker is None:
            raise Unsupported(f"{show(entry.name)}: an entry of type {entry.type!r} in the layer is not supported")
        if name == path[-1]:
            self._head, self._parent, self._real = head, parent, real
        return self._make(maker, entry, parent, (*real, path[-1]))

    def _make(self, maker: Maker, entry: Entry, parent: int, path: Path) -> None:
        try:
            maker(entry, parent, path[-1])
        except FileExistsError:
            self._head = None
            self._clear(parent, path)
            maker(entry, parent, path[-1])

    def finish(self) -> None:
        """Give directories what making things in them would have changed: times, and the set-id bits."""
        for path, (mode, mtime) in sorted(self._directories.items()):
            try:
                if not path:
                    os.utime(self._top, ns=(mtime, mtime))
                    continue
                parent, _ = self.tree.directory(path[:-1])
                if mode & 0o6000:
                    fd, _ = self.tree.directory(path)
                    os.fchmod(fd, mode)
                    os.utime(fd, ns=(mtime, mtime))
                else:
                    os.utime(path[-1], ns=(mtime, mtime), dir_fd=parent, follow_symlinks=False)
            except OSError as error:
                raise _worded(error, b"/".join(path)) from None

    # -- whiteouts ------------------------------------------------------------------------------------------------

    def _marks(self, entry: Entry, path: list[bytes]) -> bool:
        """Handle an entry that only says something about others; False for an ordinary one."""
        if any(part.startswith(_AUFS) and part != _OPAQUE_MARK for part in path):
            return True  # left by aufs, for itself
        if any(part.startswith(_WHITEOUT) for part in path[:-1]):
            raise InvalidArgument(f"{show(entry.name)}: a whiteout can't be a directory")
        if not path or not path[-1].startswith(_WHITEOUT):
            return False
        fd, real = self.tree.directory(tuple(path[:-1]), self._make_missing)
        if path[-1] == _OPAQUE_MARK:
            os.setxattr(fd, opaque_attribute(), b"y")
            return True
        name = path[-1][len(_WHITEOUT) :]
        if name in (b"", b".", b".."):
            raise InvalidArgument(f"{show(entry.name)}: a whiteout of nothing that can be named")
        try:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)
        except FileExistsError:
            # Made by this same archive, which a whiteout does not touch; it hides what is below anyway, unless
            # directories merge.
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                inner, _ = self.tree.directory((*real, name))
                os.setxattr(inner, opaque_attribute(), b"y")
        return True

    def _clear(self, parent: int, path: Path) -> bool:
        """Remove what is at ``path``; returns whether that was a whiteout."""
        state = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(state.st_mode):
            os.unlink(path[-1], dir_fd=parent)
            return is_whiteout(state)
        self._forget(parent, path)
        remove(path[-1], parent)
        return False

    def _forget(self, parent: int, path: Path) -> None:
        """Drop what is noted of the directory at ``path`` and those in it, by what is on the disk.

        An archive that makes and replaces directories all the time then pays for each of them once.
        """
        self.tree.forget(path)
        above = b"/".join((*path[:-1], b""))
        for where, _, _, _ in os.fwalk(path[-1], dir_fd=parent):
            name = above + where
            self._directories.pop(tuple(name.split(b"/")), None)
            self.outcome.implicit.discard(name)

    def _make_missing(self, parent: int, name: bytes, path: bytes) -> None:
        """A directory the archive takes for granted; over a whiteout it is a new one that hides what is below."""
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)
            self._set_opaque(parent, name)
        else:
            self.outcome.implicit.add(path)

    @staticmethod
    def _set_opaque(parent: int, name: bytes) -> None:
        os.setxattr(f"/proc/self/fd/{parent}/".encode() + name, opaque_attribute(), b"y", follow_symlinks=False)

    # -- entries --------------------------------------------------------------------------------------------------

    @staticmethod
    def _check(entry: Entry) -> None:
        if not (0 <= entry.uid <= _ID_LIMIT and 0 <= entry.gid <= _ID_LIMIT):
            raise InvalidArgument(f"{show(entry.name)}: owner {entry.uid}:{entry.gid} is not a user and group ID")

    def _root(self, entry: Entry) -> None:
        if entry.type != tar.DIRECTORY:
            raise InvalidArgument(f"{show(entry.name)}: the layer's root must be a directory")
        self._check(entry)
        os.fchown(self._top, entry.uid, entry.gid)
        os.fchmod(self._top, entry.mode)
        self._set_xattrs(entry, self._top)
        self.outcome.implicit.discard(b"")
        self._directories[()] = (0, entry.mtime)

    def _directory(self, entry: Entry, parent: int, path: Path) -> None:
        name = path[-1]
        try:
            os.mkdir(name, entry.mode & 0o1777, dir_fd=parent)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.chmod(f"/proc/self/fd/{parent}/".encode() + name, entry.mode & 0o1777)
                os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
                self.outcome.implicit.discard(b"/".join(path))
            else:
                hides = self._clear(parent, path)
                os.mkdir(name, entry.mode & 0o1777, dir_fd=parent)
                if hides:
                    self._set_opaque(parent, name)
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        self._directories[path] = (entry.mode, entry.mtime)
        if entry.xattrs:
            fd, _ = self.tree.directory(path)
            self._set_xattrs(entry, fd)

    def _file(self, entry: Entry, parent: int, name: bytes) -> None:
        fd = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=parent)
        try:
            self._account(entry.size)
            if entry.sparse is not None:
                self._sparse(entry, fd)
            elif entry.size:
                data = self.stream.whole(entry.size)
                if data is None or os.write(fd, data) != entry.size:
                    self._long(entry, fd, data)
            # The order matters: chown clears the set-id bits, chown and writing clear file capabilities.
            if entry.uid or entry.gid:
                os.fchown(fd, entry.uid, entry.gid)
            if entry.mode & 0o7000:
                os.fchmod(fd, entry.mode)
            if entry.xattrs:
                self._set_xattrs(entry, fd)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _long(self, entry: Entry, fd: int, begun: memoryview | None) -> None:
        """Data that spans chunks, or that the kernel took only the beginning of."""
        if begun is not None:
            _write(fd, begun[os.lseek(fd, 0, os.SEEK_CUR) :])
            return
        for piece in self.stream.pieces(entry.size):
            _write(fd, piece)

    def _sparse(self, entry: Entry, fd: int) -> None:
        for offset, length in entry.sparse or ():
            os.lseek(fd, offset, os.SEEK_SET)
            for piece in self.stream.pieces(length):
                _write(fd, piece)
        os.ftruncate(fd, entry.real_size)

    def _account(self, size: int) -> None:
        """Count data and look at the disk now and then: before it is full, others that share it must not suffer."""
        self.outcome.size += size
        if self.outcome.size > self.limits.size:
            raise InvalidArgument(f"the layer holds more than {self.limits.size} bytes")
        if self.outcome.size >= self._watched + _WATCH_STEP:
            self._watched = self.outcome.size
            disk = os.fstatvfs(self._top)
            if disk.f_bavail * disk.f_frsize < self.limits.reserve + size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _symlink(self, entry: Entry, parent: int, name: bytes) -> None:
        if not entry.link or b"\0" in entry.link:
            raise InvalidArgument(f"{show(entry.name)}: a symbolic link without a target")
        os.symlink(entry.link, name, dir_fd=parent)
        self._finish_special(entry, parent, name)

    def _device(self, entry: Entry, parent: int, name: bytes) -> None:
        kind = stat.S_IFCHR if entry.type == tar.CHARACTER else stat.S_IFBLK
        number = f"{'character' if kind == stat.S_IFCHR else 'block'} device {entry.major}:{entry.minor}"
        if in_user_namespace():
            if split(entry.name)[0] == b"dev":  # a container has another /dev
                return
            raise PermissionDenied(f"{show(entry.name)}: an ordinary user can't make {number}")
        if not self.limits.devices:
            raise PermissionDenied(f"{show(entry.name)}: a layer must not bring {number} here")
        if kind == stat.S_IFCHR and not entry.major and not entry.minor:
            raise InvalidArgument(
                f"{show(entry.name)}: {number} is overlayfs's mark of a deletion, a layer must not bring it"
            )
        if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):  # dev_t of the kernel
            raise InvalidArgument(f"{show(entry.name)}: there is no {number}")
        os.mknod(name, kind | (entry.mode & 0o777), os.makedev(entry.major, entry.minor), dir_fd=parent)
        self._finish_special(entry, parent, name)

    def _fifo(self, entry: Entry, parent: int, name: bytes) -> None:
        os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
        self._finish_special(entry, parent, name)

    def _finish_special(self, entry: Entry, parent: int, name: bytes) -> None:
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(entry, f"/proc/self/fd/{parent}/".encode() + name)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _link(self, entry: Entry, parent: int, path: Path) -> None:
        """A hard link: to a file of this layer, or noted for later because its file must be in a lower one."""
        target = split(entry.link, self.limits.depth)
        if not target:
            raise InvalidArgument(f"{show(entry.name)}: a hard link without a target")
        if tuple(target) == path:
            raise InvalidArgument(f"{show(entry.name)}: a hard link to itself")
        held = os.dup(parent)  # looking for the target may close it
        try:
            self._link_to(entry, held, path, tuple(target))
        finally:
            os.close(held)

    def _link_to(self, entry: Entry, parent: int, path: Path, target: Path) -> None:
        try:
            source, _ = self.tree.directory(target[:-1])
            state = os.stat(target[-1], dir_fd=source, follow_symlinks=False)
        except FileNotFoundError:
            try:
                self._clear(parent, path)
            except FileNotFoundError:
                pass
            self.outcome.links.append((b"/".join(path), b"/".join(target)))
            return
        if stat.S_ISDIR(state.st_mode) or is_whiteout(state):
            raise InvalidArgument(
                f"{show(entry.name)}: a hard link to {show(entry.link)}, which is no file of the layer"
            )
        source = os.dup(source)
        try:
            os.link(target[-1], path[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            self._clear(parent, path)
            os.link(target[-1], path[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _set_xattrs(self, entry: Entry, where: int | bytes) -> None:
        """``where`` is a descriptor, or for what can't be opened a path through one."""
        for name, value in (entry.xattrs or {}).items():
            if name.startswith(_REFUSED_XATTRS):
                raise InvalidArgument(f"{show(entry.name)}: a layer must not set {name}, which steers overlayfs")
            if name in _HOST_XATTRS:
                continue
            if isinstance(where, int):
                os.setxattr(where, name, value)
            else:
                os.setxattr(where, name, value, follow_symlinks=False)


def _is_name(name: bytes) -> bool:
    """Whether it is one component, and says nothing about others."""
    return name not in (b"", b".", b"..") and b"\0" not in name and _WHITEOUT not in name


def _write(fd: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]
