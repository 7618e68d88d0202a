"""A log's file in the container's directory: appended to, put aside when it is full, compressed if that is wanted."""

from __future__ import annotations

import os

_PIECE = 1 << 18


class LogFile:
    """``name`` in the directory behind a descriptor; ``name.1`` is the file before it, ``name.2`` the next."""

    __slots__ = ("_compress", "_compressor", "_directory", "_file", "_files", "_name", "limit", "lost", "size")

    def __init__(self, directory: int, name: str, limit: int = 0, files: int = 1, compress: bool = False) -> None:
        """``limit`` bytes a file (0: none), ``files`` of them kept, those put aside ``compress``-ed (``name.1.gz``)."""
        self._directory, self._name, self._files, self._compress = directory, name, files, compress and files > 1
        self.limit = limit
        self._compressor = -1
        self._file, self.size = -1, 0
        self.lost = 0
        """Bytes that could not be written, because the disk is full for instance."""
        self._open()

    @property
    def full(self) -> bool:
        """What comes next belongs into another file."""
        return bool(self.limit) and self.size >= self.limit

    def put(self, data: bytes) -> None:
        """Write it all, or count what was lost: a full disk must not stop the container."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:] if done else data)
        except OSError:
            self.lost += len(data) - done
        self.size += done

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def rotate(self) -> None:
        """``log`` becomes ``log.1``, ``log.1`` ``log.2`` …; what would be file number ``files`` goes."""
        self._await_compressor()
        self.close()
        for number in range(self._files - 1, 0, -1):
            if number > 1:
                self._rename(f"{self._name}.{number - 1}.gz", f"{self._name}.{number}.gz")
            self._rename(f"{self._name}.{number - 1}" if number > 1 else self._name, f"{self._name}.{number}")
        if self._files <= 1:
            os.unlink(self._name, dir_fd=self._directory)
        self._open()
        if self._compress:
            self._start_compressor(f"{self._name}.1")

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._name, flags, 0o640, dir_fd=self._directory)
        self.size = os.fstat(self._file).st_size

    def _rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            if not new.endswith(".gz"):
                os.unlink(f"{new}.gz", dir_fd=self._directory)  # of a file that is gone now
        except FileNotFoundError:
            return

    def _start_compressor(self, name: str) -> None:
        """In a child: 20 MB take half a second, and the container's output is not to wait for them."""
        child = os.fork()
        if child:
            try:
                self._compressor = os.pidfd_open(child)
            except ProcessLookupError:  # that was quick
                pass
            return
        try:
            os.dup2(self._directory, 0)
            os.closerange(3, 1 << 16)  # locks and sockets are not to be held any longer than by us
            compress(0, name)
        finally:
            os._exit(0)

    def _await_compressor(self) -> None:
        """The names of its files are about to change."""
        if self._compressor >= 0:
            from select import POLLIN, poll

            waiting = poll()
            waiting.register(self._compressor, POLLIN)
            waiting.poll()
            os.close(self._compressor)
            self._compressor = -1


def compress(directory: int, name: str) -> None:
    """Have ``name.gz`` in the place of ``name``. Raises OSError; ``name`` stays until ``name.gz`` is whole."""
    import zlib

    unfinished = f".{name}.gz"
    # Level 4 takes half the time of zlib's usual 6 for a twentieth more: who says much waits for it at the next file.
    press = zlib.compressobj(4, zlib.DEFLATED, 31)
    source = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    target = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640, dir_fd=directory)
    while data := os.read(source, _PIECE):
        _write(target, press.compress(data))
    _write(target, press.flush())
    status = os.fstat(source)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))  # a reader tells by that which file it was
    os.close(target)
    os.close(source)
    os.rename(unfinished, f"{name}.gz", src_dir_fd=directory, dst_dir_fd=directory)
    os.unlink(name, dir_fd=directory)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
