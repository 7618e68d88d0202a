"""Compression of layers. What comes in is told by its first bytes: gzip (RFC 1952), zstd (RFC 8878), or none.

Output comes in pieces of at most :data:`PIECE` bytes, whatever the ratio: a bomb fills the disk's limit, never the
memory. What is made, hashed and written piece by piece also stays in the processor's cache, and memory of that size is
used again where larger pieces are given back to the kernel each time: 256 KiB instead of 1 MiB saved a tenth.
"""

from __future__ import annotations

import zlib

from utsuwa.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Read = Callable[[int], bytes]

PIECE = 1 << 18
_BLOCK = 1 << 20
"""What is compressed at once; another size makes other bytes of the same layer."""
_INPUT = 1 << 18
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4"}


class Packer:
    """Makes gzip of chunks, without a time or a name in it: the same bytes out for the same bytes in, however these are
    cut. ISA-L's, which is five times as fast, or zlib's.
    """

    def __init__(self) -> None:
        try:
            from isal import isal_zlib
        except ImportError:
            self._stream: Any = zlib.compressobj(1, zlib.DEFLATED, 31)
        else:
            self._stream = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        self._held = bytearray()

    def pack(self, chunk: bytes) -> bytes:
        """The next compressed bytes, none while a block is not full: ISA-L's depend on where its input is cut."""
        self._held += chunk
        whole = len(self._held) - len(self._held) % _BLOCK
        if not whole:
            return b""
        pieces = [self._stream.compress(self._held[at : at + _BLOCK]) for at in range(0, whole, _BLOCK)]
        del self._held[:whole]
        return b"".join(pieces)

    def finish(self) -> bytes:
        """The last of them."""
        end: bytes = self._stream.compress(self._held) + self._stream.flush()
        return end


def decompressed(read: Read, whole: bool = False) -> Iterator[bytes]:
    """The uncompressed pieces of what ``read(count)`` delivers: up to ``count`` bytes, b"" at the end.

    ``whole``: an archive that a user brings may be compressed with bzip2 and xz as well, which no layer may be.
    """
    head = b""
    while len(head) < 6 and (more := read(_INPUT)):
        head += more
    if head.startswith(_GZIP):
        return _gunzip(head, read)
    # 0x184D2A5? starts a skippable frame, which may come before the first real one.
    if head.startswith(_ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return _unzstd(head, read)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            if whole and name in ("bzip2", "xz"):
                return _unpacked_slowly(name, head, read)
            raise Unsupported(f"layer compressed with {name} is not supported, use gzip or zstd")
    return _plain(head, read)


def _plain(head: bytes, read: Read) -> Iterator[bytes]:
    while head:
        yield head
        head = read(_INPUT)


def _gunzip(data: bytes, read: Read) -> Iterator[bytes]:
    """All members of a gzip stream; zeros may pad its end, as tapes and some writers do."""
    try:
        while True:
            member = _gzip_member()
            while not member.eof:
                if member.needs_input and not data:
                    data = read(_INPUT)
                    if not data:
                        raise InvalidArgument("the layer's gzip stream is truncated")
                piece = member.decompress(data, PIECE)
                data = b""
                if piece:
                    yield piece
            data = member.unused_data or read(_INPUT)
            if not data:
                return
            if not data.startswith(_GZIP):
                data += read(_INPUT) if len(data) < 2 else b""
            if not data.startswith(_GZIP):
                return _only_zeros(data, read)
    except (zlib.error, OSError, ValueError) as error:
        raise InvalidArgument(f"the layer's gzip stream is damaged: {error}") from None
    except Exception as error:
        if type(error).__name__ == "IsalError":  # isal may not be there to be named in an except clause
            raise InvalidArgument(f"the layer's gzip stream is damaged: {error}") from None
        raise


def _only_zeros(data: bytes, read: Read) -> None:
    while data:
        if data.strip(b"\0"):
            raise InvalidArgument("the layer's gzip stream is followed by something else")
        data = read(_INPUT)


def _gzip_member() -> Any:
    """A decompressor of one member: ISA-L's, which is 2.4 times as fast, or zlib's."""
    try:
        from isal import igzip_lib
    except ImportError:
        return _ZlibMember()
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


class _ZlibMember:
    """zlib's decompressor with the interface of ISA-L's."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, limit)


class _Joined:
    """The bytes that were looked at already, then the rest, as zstandard wants to read them."""

    def __init__(self, head: bytes, read: Read) -> None:
        self._head = head
        self._read = read

    def read(self, count: int) -> bytes:
        piece, self._head = self._head[:count], self._head[count:]
        return piece or self._read(count)


def _unzstd(head: bytes, read: Read) -> Iterator[bytes]:
    """All frames of a zstd stream; a truncated one ends early, which the archive and its digest then tell."""
    try:
        import zstandard
    except ImportError:
        raise Unsupported("layer compressed with zstd needs the Python package zstandard, install it") from None
    # 128 MiB is the window that RFC 8878 (3.1.1.1.2) and the zstd command refuse to go beyond unasked.
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        _Joined(head, read),  # type: ignore[arg-type]  # it asks for read() alone
        read_size=_INPUT,
        read_across_frames=True,
    )
    try:
        while piece := reader.read(PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise InvalidArgument(f"the layer's zstd stream is damaged: {error}") from None


def _unpacked_slowly(name: str, data: bytes, read: Read) -> Iterator[bytes]:
    """bzip2 and xz, which may come in several streams one after the other."""
    import bz2
    import lzma

    try:
        while data:
            stream: Any = bz2.BZ2Decompressor() if name == "bzip2" else lzma.LZMADecompressor()
            while not stream.eof:
                if stream.needs_input:
                    data = data or read(_INPUT)
                    if not data:
                        raise InvalidArgument(f"the {name} stream is truncated")
                piece = stream.decompress(data, PIECE)
                data = b""
                if piece:
                    yield piece
            data = stream.unused_data or read(_INPUT)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InvalidArgument(f"the {name} stream is damaged: {error}") from None
