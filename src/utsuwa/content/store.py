"""Blobs by digest, on disk.

    <root>/blobs/<algorithm>/<hex>      committed; mode 0444 once it surely is on the disk, 0600 before that
    <root>/ingest/<algorithm>-<hex>     being taken in, under an exclusive flock(2) by who does it

A blob comes in through :meth:`ContentStore.ingest`: written to a file of its own, hashed on the way, renamed into place
when digest and size are right. Nothing is flushed blob by blob: one :meth:`ContentStore.settle` at the end of a pull
flushes the file system and marks the blobs durable. A blob without the mark (its pull was cut off, perhaps by a power
failure) is hashed again before it is believed. A killed process leaves at most an ingest file without its lock, which
the next ingest or :meth:`ContentStore.sweep` takes away.
"""

from __future__ import annotations

import errno
import fcntl
import os

from utsuwa.content.durable import flush_file_system
from utsuwa.errors import Error, Internal, NotFound, Unavailable, from_oserror
from utsuwa.spec import digest as digests
from utsuwa.spec.digest import Digest, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.spec.digest import Buffer

_DURABLE = 0o444
_CHUNK = 1 << 20


class ContentStore:
    """The blobs beneath ``root``; safe to use from several processes at once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._ingests = f"{root}/ingest"

    def path(self, digest: str) -> str:
        """Where a blob is, or would be."""
        checked = digests.parse(digest)
        return f"{self.root}/blobs/{checked.algorithm}/{checked.hex}"

    def has(self, digest: str) -> bool:
        """Whether the blob is here and to be believed; one that is not yet durable is hashed to know."""
        path = self.path(digest)
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return False
        return mode & 0o777 == _DURABLE or self._believe(path, Digest(digest))

    def size(self, digest: str) -> int:
        """Size of a blob in bytes; raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"no blob {digest}, pull its image again") from None

    def open(self, digest: str) -> int:
        """A descriptor for reading a blob, the caller closes it; raises NotFound."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no blob {digest}, pull its image again") from None

    def read(self, digest: str, limit: int = 8 << 20) -> bytes:
        """A small blob whole; raises NotFound, Internal when it is damaged or over ``limit`` bytes.

        A durable one is not hashed again: every container's start reads its image's configuration, and loading OpenSSL
        for that would cost it 4 ms.
        """
        fd = self.open(digest)
        try:
            state = os.fstat(fd)
            if state.st_size > limit:
                raise Internal(f"blob {digest} is larger than the {limit} bytes it may have")
            data = _read_all(fd)
        finally:
            os.close(fd)
        if state.st_mode & 0o777 == _DURABLE and len(data) == state.st_size:
            return data
        try:
            digests.verify(Digest(digest), data)
        except Unavailable as error:
            raise Internal(f"damaged blob in {self.root}, remove the image and pull again: {error}") from None
        return data

    def ingest(self, digest: str, size: int | None = None) -> Ingest | None:
        """Begin to take in a blob; None while somebody else does, so ask :meth:`has` and then again."""
        checked = digests.parse(digest)
        try:
            os.makedirs(self._ingests, 0o700, exist_ok=True)
            path = f"{self._ingests}/{checked.algorithm}-{checked.hex}"
            fd = _lock_file(path)
        except OSError as error:
            raise from_oserror(error, f"begin blob {digest}") from None
        return None if fd is None else Ingest(self, checked, size, path, fd)

    def create(self) -> Draft:
        """Begin a blob that is only now being made, so that nobody knows its digest yet."""
        try:
            os.makedirs(self._ingests, 0o700, exist_ok=True)
            while True:
                path = f"{self._ingests}/new-{os.urandom(8).hex()}"
                fd = _lock_file(path)
                if fd is not None:
                    return Draft(self, path, fd)
        except OSError as error:
            raise from_oserror(error, "begin a blob") from None

    def add(self, data: Buffer, digest: str | None = None) -> Digest:
        """Take in bytes that are in memory already; returns their digest."""
        name = digests.parse(digest) if digest else digests.of(data)
        if self.has(name):
            return name
        taken = self.ingest(name, len(data))
        if taken is None:
            raise Unavailable(f"blob {name} is just being written by another process, try again")
        with taken:
            taken.write(data)
            taken.commit()
        return name

    def walk(self) -> Iterator[tuple[Digest, int]]:
        """Every committed blob with its size in bytes, in no particular order."""
        for algorithm in digests.HEX_LENGTHS:
            try:
                entries = os.scandir(f"{self.root}/blobs/{algorithm}")
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    yield Digest(f"{algorithm}:{entry.name}"), entry.stat(follow_symlinks=False).st_size

    def delete(self, digest: str) -> int:
        """Remove a blob, gone already is fine; returns the bytes that were freed."""
        path = self.path(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def settle(self, blobs: Iterable[str], flushed: bool = False) -> None:
        """Flush the file system once (unless it just was), then mark these blobs durable.

        Raises NotFound when one is missing, Unavailable when the disk fails or is full.
        """
        waiting = []
        for digest in blobs:
            try:
                if os.stat(self.path(digest)).st_mode & 0o777 != _DURABLE:
                    waiting.append(self.path(digest))
            except FileNotFoundError:
                raise NotFound(f"no blob {digest}, pull its image again") from None
        if waiting and not flushed:
            flush_file_system(self.root)
        for path in waiting:
            os.chmod(path, _DURABLE)

    def sweep(self) -> None:
        """Remove what killed processes left in the ingest folder."""
        try:
            names = os.listdir(self._ingests)
        except FileNotFoundError:
            return
        for name in names:
            path = f"{self._ingests}/{name}"
            fd = _lock_file(path)
            if fd is not None:
                os.unlink(path)
                os.close(fd)

    def _believe(self, path: str, digest: Digest) -> bool:
        """Hash a blob that a cut-off pull left; a wrong one is removed."""
        verifier = Verifier(digest)
        with open(path, "rb", buffering=0) as blob:
            while chunk := blob.read(_CHUNK):
                verifier.update(chunk)
        try:
            verifier.finish()
        except Unavailable:
            os.unlink(path)
            return False
        return True


class Ingest:
    """One blob on its way in; leave the ``with`` without :meth:`commit` and nothing remains of it.

    The file only ever grows, so somebody else may read what is there (``fd``) up to :attr:`offset` while it does.
    """

    def __init__(self, store: ContentStore, digest: Digest, size: int | None, path: str, fd: int) -> None:
        self.digest = digest
        self.fd = fd
        self._store = store
        self._path = path
        self._verifier = Verifier(digest, size)

    @property
    def offset(self) -> int:
        """Bytes taken in so far: where a broken transfer goes on."""
        return self._verifier.seen

    def write(self, chunk: Buffer) -> None:
        """Hash and store the next bytes; raises Unavailable when there are too many of them or the disk is full."""
        self._verifier.update(chunk)
        try:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self.fd, view) :]
        except OSError as error:
            raise _disk_error(error, self._path) from None

    def commit(self) -> None:
        """Check digest and size and put the blob in its place; raises Unavailable when they are wrong."""
        self._verifier.finish()
        target = self._store.path(self.digest)
        try:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            os.rename(self._path, target)
        except OSError as error:
            raise from_oserror(error, f"commit blob {self.digest}") from None
        self._path = ""
        self.close()

    def close(self) -> None:
        """Give up the lock, and the file unless it was committed."""
        if self.fd >= 0:
            if self._path:
                os.unlink(self._path)
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


class Draft:
    """A blob that gets its name when it is whole; leave the ``with`` without :meth:`commit`, and nothing is left."""

    def __init__(self, store: ContentStore, path: str, fd: int) -> None:
        self.size = 0
        self._store, self._path, self._fd = store, path, fd
        self._running = digests.hasher()

    def write(self, chunk: Buffer) -> None:
        """Hash and store the next bytes; raises Unavailable when the disk is full."""
        self._running.update(chunk)
        self.size += len(chunk)
        try:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _disk_error(error, self._path) from None

    def commit(self) -> Digest:
        """Put the blob in its place, unless the same is there already; returns its digest."""
        digest = Digest(f"sha256:{self._running.hexdigest()}")
        if not self._store.has(digest):
            target = self._store.path(digest)
            try:
                os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
                os.rename(self._path, target)
            except OSError as error:
                raise from_oserror(error, f"commit blob {digest}") from None
            self._path = ""
        return digest

    def close(self) -> None:
        """Give up the lock, and the file unless it was committed."""
        if self._fd >= 0:
            if self._path:
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


def _lock_file(path: str) -> int | None:
    """An empty file at ``path`` under our lock, None when another process has it.

    The lock may be won on a file that its former owner has just renamed into place or removed; that one must not be
    touched.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                os.ftruncate(fd, 0)
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        os.close(fd)


def _disk_error(error: OSError, path: str) -> Error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"{path}: no space left on the disk, free some and pull again")
    return from_oserror(error, path)


def _read_all(fd: int) -> bytes:
    chunks = []
    while chunk := os.read(fd, _CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)
