"""ADD of an archive: told by its bytes, and its members put into a layer's archive at the place they are added to.

The archive is hostile. Its names are resolved in the image and in what it has made so far, never by the kernel, and
what comes out is applied by the code that applies layers from registries.
"""

from __future__ import annotations

import os

from utsuwa.build import places
from utsuwa.errors import Error, InvalidArgument
from utsuwa.snapshot import archive, compression, tar
from utsuwa.snapshot.tree import show, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from utsuwa.build.copying import Ground, Wish
    from utsuwa.build.members import Member
    from utsuwa.build.places import Path

_DEPTH = 250
_PIECE = 1 << 20
_OTHERS = {b"BZh": "bz2", b"\xfd7zXZ\0": "lzma"}
_DAMAGED = (InvalidArgument, OSError, EOFError, ValueError)


def is_archive(directory: int, name: bytes) -> bool:
    """Whether a file is a tar archive, perhaps compressed: it begins with a header whose checksum is right."""
    fd = places.open_file(directory, name)
    try:
        head = b""
        for piece in plain(lambda count: os.read(fd, count)):
            head += piece
            if len(head) >= tar.BLOCK:
                break
    except (Error, *_DAMAGED):
        return False
    finally:
        os.close(fd)
    return _is_header(head[: tar.BLOCK])


def _is_header(block: bytes) -> bool:
    digits = block[148:156].strip(b" \0")
    if len(block) < tar.BLOCK or not digits or any(digit not in b"01234567" for digit in digits):
        return False
    return sum(block) - sum(block[148:156]) + 8 * 32 == int(digits, 8)


def plain(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The uncompressed pieces of what ``read(count)`` delivers: gzip, zstd, bzip2, xz, or as it is."""
    head = b""
    while len(head) < 6 and (more := read(6 - len(head))):
        head += more
    module = next((module for magic, module in _OTHERS.items() if head.startswith(magic)), "")
    held = [head]

    def again(count: int) -> bytes:
        return held.pop() if held else read(count)

    if not module:
        yield from compression.decompressed(again)
        return
    imported = __import__(module)
    yield from _stdlib(again, imported.BZ2Decompressor if module == "bz2" else imported.LZMADecompressor)


def _stdlib(read: Callable[[int], bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    """What Python's own decompressors make of it, in pieces; several streams may follow one another."""
    engine, data = new(), b""
    while True:
        if engine.eof:
            data = engine.unused_data or read(_PIECE)
            if not data:
                return
            engine = new()
        elif engine.needs_input:
            data = read(_PIECE)
            if not data:
                raise InvalidArgument("the compressed archive is truncated")
        try:
            piece = engine.decompress(data, _PIECE)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"the compressed archive is damaged: {error}") from None
        except Exception as error:  # lzma.LZMAError, without importing lzma for its name
            raise InvalidArgument(f"the compressed archive is damaged: {error}") from None
        data = b""
        if piece:
            yield piece


def unpacked(member: Member, wish: Wish, ground: Ground) -> Iterator[bytes]:
    """The members of an archive as parts of a layer's, below ``member.path``. Raises InvalidArgument for a broken
    one.
    """
    fd = places.open_file(member.directory, member.name)
    try:
        stream = tar.Stream(plain(lambda count: os.read(fd, count)))
        for entry in tar.entries(stream):
            inner = tuple(split(entry.name, _DEPTH))
            if any(name.startswith(b".wh.") for name in inner):
                raise InvalidArgument(f"{show(entry.name)}: a layer can't hold a name that begins with .wh.")
            if not inner:  # the directory itself stays as it is
                stream.skip(entry.size)
                continue
            path = (*ground.follow((*member.path, *inner[:-1])), inner[-1])
            for parent in ground.missing(path):
                yield made(parent, wish)
            if entry.type == tar.LINK:
                target = tuple(split(entry.link, _DEPTH))
                entry.link = b"/".join((*ground.follow((*member.path, *target[:-1])), *target[-1:]))
            ground.replace(path, entry.type == tar.DIRECTORY, entry.link if entry.type == tar.SYMLINK else None)
            _adjust(entry, path, wish)
            yield archive.header(entry)
            for piece in stream.pieces(entry.size):
                yield bytes(piece)
            yield archive.padding(entry.size)
    finally:
        os.close(fd)


def _adjust(entry: tar.Entry, path: Path, wish: Wish) -> None:
    entry.name = b"/".join(path)
    if wish.owner is not None:
        entry.uid, entry.gid = wish.owner
    if wish.newest is not None:
        entry.mtime = min(entry.mtime, wish.newest * 1_000_000_000)


def made(path: Path, wish: Wish) -> bytes:
    """A directory that something else needs."""
    state = wish.directory
    entry = archive.member(b"/".join(path), tar.DIRECTORY, 0, 0o755, state.st_mtime_ns)
    entry.uid, entry.gid = state.st_uid, state.st_gid
    return archive.header(entry)
