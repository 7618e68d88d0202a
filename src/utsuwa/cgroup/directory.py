"""One cgroup directory: its files by name, through a descriptor.

cgroupfs holds no symbolic links and makes none, so a path below a cgroup mount can't be diverted once ``..`` is gone
(``filesystem.clean``); the last component and every file are opened ``O_NOFOLLOW`` all the same.
"""

from __future__ import annotations

import os

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.cgroup.journal import Journal

_ENTER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK = 65536


class Directory:
    """A cgroup directory held open; a context manager. What is written is noted in ``journal`` first."""

    __slots__ = ("_journal", "fd", "path")

    def __init__(self, path: str, journal: Journal | None = None, top: Top | None = None) -> None:
        """Open ``path``; NotFound when the cgroup does not exist."""
        self.path = path
        self._journal = journal
        name, fd = beneath(top, path)
        try:
            self.fd = os.open(name, _ENTER, dir_fd=fd)
        except OSError as error:
            raise failure(error, f"open cgroup {path}") from error

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)

    def read(self, key: str) -> str:
        """The content of file ``key`` without the last newline; an Error names the file."""
        try:
            return _read(self.fd, key)
        except OSError as error:
            raise failure(error, f"read {self.path}/{key}") from error

    def peek(self, key: str) -> str | None:
        """Like read, but None for a file that this kernel lacks or can't answer."""
        return peek(self.fd, key)

    def attempt(self, key: str, value: str) -> OSError | None:
        """Write ``value`` to ``key`` in one write; the kernel's refusal is returned, for callers who know better."""
        if self._journal is not None:
            self._journal.note(self, _plain(key), value)
        try:
            fd = os.open(_plain(key), _WRITE, dir_fd=self.fd)
            try:
                os.write(fd, value.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError as error:
            return error
        return None

    def write(self, key: str, value: str | int) -> None:
        """Write ``value`` to ``key``; an Error names file and value."""
        refusal = self.attempt(key, str(value))
        if refusal is not None:
            raise self.refused(key, value, refusal) from refusal

    def write_each(self, key: str, values: list[str]) -> None:
        """Write ``values`` to ``key``, each in a write of its own, for files that take one line at a time."""
        if not values:
            return
        value = ""
        try:
            fd = os.open(_plain(key), _WRITE, dir_fd=self.fd)
            try:
                for value in values:
                    os.write(fd, value.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError as error:
            raise self.refused(key, value, error) from error

    def refused(self, key: str, value: str | int, refusal: OSError) -> errors.Error:
        """The error for a write of ``value`` to ``key`` that the kernel answered with ``refusal``."""
        return failure(refusal, f'write "{value}" to {self.path}/{key}')

    def has(self, key: str) -> bool:
        """Whether the file exists."""
        return os.access(_plain(key), os.F_OK, dir_fd=self.fd)

    def keys(self) -> list[str]:
        """The names of the files, sorted."""
        try:
            fd = os.open(self.path, _LIST)
        except OSError as error:
            raise failure(error, f"list cgroup {self.path}") from error
        try:
            with os.scandir(fd) as entries:
                return sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
        finally:
            os.close(fd)


class Top:
    """The directory that all hierarchies are mounted in, held open to look up paths from; a context manager.

    Each walk through sysfs takes a lock that is held to write whenever a network namespace is made or taken down
    (``kernfs_rwsem``), and a container has three walks in each hierarchy.
    """

    __slots__ = ("fd", "prefix")

    def __init__(self, mounts: Iterable[str]) -> None:
        """Open the directory above ``mounts``: none where they have none in common, or it can't be opened."""
        mounts = tuple(mounts)
        self.prefix = mounts[0][: mounts[0].rfind("/") + 1] if mounts else ""
        self.fd: int | None = None
        if self.prefix and all(mount.startswith(self.prefix) for mount in mounts):
            try:
                self.fd = os.open(self.prefix, _ENTER)
            except OSError:
                pass

    def __enter__(self) -> Top:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.fd is not None:
            os.close(self.fd)


def beneath(top: Top | None, path: str) -> tuple[str, int | None]:
    """What is left of ``path`` when it is looked up from ``top``, and the descriptor for that (``dir_fd``)."""
    if top is not None and top.fd is not None and path.startswith(top.prefix):
        return path[len(top.prefix) :], top.fd
    return path, None


def failure(error: OSError, context: str) -> errors.Error:
    """``errors.from_oserror``, where a read-only cgroup mount is a lack of permission too.

    ENODEV is the answer of a file whose cgroup has been removed meanwhile, or for a device that there is not.
    """
    import errno

    if error.errno == errno.ENODEV:
        return errors.NotFound(f"{context}: no such device")
    if error.errno == errno.EROFS:
        return errors.PermissionDenied(f"{context}: read-only file system")
    if error.errno == errno.EOPNOTSUPP:
        return errors.FailedPrecondition(f"{context}: not possible in this kind of cgroup")
    return errors.from_oserror(error, context)


def walk(path: str) -> Iterator[tuple[int, str]]:
    """Descriptors of ``path`` and all cgroups below it, each with "" on the way in; nothing when it is gone.

    On the way out comes the descriptor of the parent, with the name of the cgroup that was left. A descriptor is open
    until the next is asked for. No paths, and no recursion: who may make cgroups in a container may nest them deeper
    than both can go.
    """
    try:
        here = os.open(path, _LIST)
    except (FileNotFoundError, NotADirectoryError):
        return
    way = [("", _names(here))]
    try:
        yield here, ""
        while way[-1][1] or len(way) > 1:
            left, rest = way[-1]
            into = rest.pop() if rest else ""
            try:
                following = os.open(into or "..", _LIST, dir_fd=here)
            except FileNotFoundError:  # removed meanwhile
                continue
            os.close(here)
            here = following
            if into:
                way.append((into, _names(here)))
            else:
                way.pop()
            yield here, "" if into else left
    finally:
        os.close(here)


def _names(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def peek(fd: int, key: str) -> str | None:
    """The content of file ``key`` of the cgroup ``fd``; None when this kernel lacks it or can't answer."""
    try:
        return _read(fd, key)
    except OSError:
        return None


def _read(fd: int, key: str) -> str:
    file = os.open(_plain(key), _READ, dir_fd=fd)
    try:
        data = chunk = os.read(file, _CHUNK)
        # seq files end a read early, at a record that does not fit: only an empty read is the end.
        while chunk and len(data) >= 4000:
            chunk = os.read(file, _CHUNK)
            data += chunk
    finally:
        os.close(file)
    return data.decode("utf-8", "surrogateescape").rstrip("\n")


def _plain(key: str) -> str:
    """``key`` when it is the name of a file, and nothing else (``linux.resources.unified`` is written by users)."""
    if not key or "/" in key or "\0" in key or key in (".", ".."):
        raise errors.InvalidArgument(f'cgroup file "{key}": a file name was expected')
    return key
