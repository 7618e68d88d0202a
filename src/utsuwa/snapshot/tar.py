"""A reader of layer archives: ustar, PAX and GNU tar, as a stream, from an author who may be hostile.

Python's tarfile makes an object of thirty attributes for each member and follows its own idea of sparse files; here an
entry is what :mod:`utsuwa.snapshot.apply` needs. Where readers differ, this one does as Go's ``archive/tar``, which the
other engines use: global PAX headers change nothing, links and directories have no data whatever their size says, an
archive may end without the two zero blocks. See tar(5), pax in POSIX.1-2017, and "Storing Sparse Files" in GNU tar's
manual.
"""

from __future__ import annotations

from _struct import Struct
from zlib import adler32

from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 512
SPECIAL_LIMIT = 1 << 20
"""Largest long name or PAX header, in bytes; Go's reader has the same."""
SPARSE_LIMIT = 1 << 16
"""Most data regions of one sparse file."""
_LARGEST = 1 << 62

REGULAR, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_HEADER_ONLY = frozenset((LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_ZERO = bytes(BLOCK)
_HEADER = Struct("100s24s12s12s8s1s100s6s2x64x16s155s12x")
"""name; mode, owner and group; size, time, checksum, type, link, magic; device; prefix of the name"""
# ext4 and xfs keep 34 bits of seconds; a wider time is clamped here because utimensat(2) takes no more than its own
# type.
_SECONDS = (-(1 << 31), (1 << 34) - 1)


class Entry:
    """One member; ``name`` and ``link`` are bytes as archived, ``mtime`` in nanoseconds, ``size`` the bytes of data
    that follow.

    ``sparse`` is None, or the (offset, length) of each region of data in a file of ``real_size`` bytes.
    """

    __slots__ = (
        "gid",
        "link",
        "major",
        "minor",
        "mode",
        "mtime",
        "name",
        "real_size",
        "size",
        "sparse",
        "type",
        "uid",
        "xattrs",
    )

    name: bytes
    link: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    major: int
    minor: int
    xattrs: dict[str, bytes] | None
    sparse: list[tuple[int, int]] | None
    real_size: int


class Stream:
    """Exact reads from an iterator of chunks; ``taken`` counts the bytes handed out.

    ``leap`` leaves out that many bytes before the next chunk, where these come from something that can.
    """

    def __init__(self, chunks: Iterator[bytes], leap: Callable[[int], object] | None = None) -> None:
        self._chunks, self._leap = chunks, leap
        self._chunk = b""
        self._at = 0
        self.taken = 0

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes; raises InvalidArgument when the stream ends before."""
        start, end = self._at, self._at + count
        if end <= len(self._chunk):
            self._at = end
            self.taken += count
            return self._chunk[start:end]
        parts = list(self.pieces(count))
        return b"".join(parts)

    def pieces(self, count: int) -> Iterator[memoryview]:
        """``count`` bytes as views of the chunks they are in, for data that need not be in one piece."""
        while count:
            if self._at == len(self._chunk) and not self._next():
                raise InvalidArgument("the layer archive is truncated")
            piece = memoryview(self._chunk)[self._at : self._at + count]
            self._at += len(piece)
            self.taken += len(piece)
            count -= len(piece)
            yield piece

    def whole(self, count: int) -> memoryview | None:
        """``count`` bytes as one view, None when the chunk at hand ends before: then take :meth:`pieces`."""
        start, end = self._at, self._at + count
        if end > len(self._chunk):
            return None
        self._at = end
        self.taken += count
        return memoryview(self._chunk)[start:end]

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        if self._at + count <= len(self._chunk):
            self._at += count
            self.taken += count
        elif self._leap:
            self._leap(count - (len(self._chunk) - self._at))
            self._at = len(self._chunk)
            self.taken += count
        else:
            for _ in self.pieces(count):
                pass

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self._at == len(self._chunk) and not self._next()

    def drain(self, limit: int) -> None:
        """Read to the end, where not more than ``limit`` bytes may follow."""
        self._at, passed = len(self._chunk), len(self._chunk) - self._at
        while self._next():
            passed += len(self._chunk)
            self._at = len(self._chunk)
            if passed > limit:
                raise InvalidArgument(f"more than {limit} bytes follow the end of the layer archive")

    def _next(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._chunk, self._at = chunk, 0
                return True
        return False


def entries(stream: Stream) -> Iterator[Entry]:
    """The members of an archive. The caller reads ``entry.size`` bytes of data from ``stream`` before it asks for the
    next.

    Padding is passed over here. Raises InvalidArgument for what is not an archive or breaks the limits above.
    """
    extra: dict[bytes, bytes] = {}
    regions: list[tuple[int, int]] = []
    long_name = long_link = b""
    while True:
        if stream.at_end():
            return
        header = stream.read(BLOCK)
        if header == _ZERO:
            return _expect_end(stream)
        kind = header[156:157]
        if kind in b"LKxXg":
            content = _special(stream, header)
            if kind == b"L":
                long_name = content.partition(b"\0")[0]
            elif kind == b"K":
                long_link = content.partition(b"\0")[0]
            elif kind != b"g":
                extra, regions = _pax_records(content)
            continue
        entry = _entry(header, long_name, long_link)
        if extra:
            _apply_pax(entry, extra)
        if extra or entry.type != REGULAR or not 0 <= entry.size <= _LARGEST:
            _resolve_sparse(entry, stream, header, extra, regions)
        padding = -entry.size % BLOCK
        yield entry
        if padding:
            stream.skip(padding)
        if extra:
            extra, regions = {}, []
        long_name = long_link = b""


def _expect_end(stream: Stream) -> None:
    if not stream.at_end() and stream.read(BLOCK) != _ZERO:
        raise InvalidArgument("the layer archive goes on behind its end")


def _entry(header: bytes, long_name: bytes, long_link: bytes) -> Entry:
    name, owner, size, time, checksum, kind, link, magic, device, prefix = _HEADER.unpack(header)
    _check_sum(header, checksum)
    entry = Entry()
    name = name.partition(b"\0")[0]
    if magic == b"ustar\0" and prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    entry.name = long_name or name
    entry.link = long_link or link.partition(b"\0")[0]
    if kind == b"\0" or kind == b"7":
        kind = DIRECTORY if kind == b"\0" and entry.name.endswith(b"/") else REGULAR
    entry.type = kind
    entry.mode = number(owner[:8]) & 0o7777
    entry.uid = number(owner[8:16])
    entry.gid = number(owner[16:])
    entry.size = entry.real_size = number(size)
    entry.mtime = _clamp(number(time)) * 1_000_000_000
    if kind in (CHARACTER, BLOCK_DEVICE):
        entry.major, entry.minor = number(device[:8]), number(device[8:])
    else:
        entry.major = entry.minor = 0
    entry.xattrs = entry.sparse = None
    return entry


def total(header: bytes) -> int:
    """The sum of a header's bytes, by the lower half of Adler-32: their sum plus one, modulo 65521, which 256 bytes
    can't reach.
    """
    return (adler32(header[:256]) & 0xFFFF) + (adler32(header[256:]) & 0xFFFF) - 2


def number(field: bytes) -> int:
    """A numeric header field: octal digits, or GNU's base-256 when the first bit is set."""
    if field[-1] in b"\0 ":  # nearly all fields: digits and one terminator
        try:
            return int(field[:-1], 8)
        except ValueError:
            pass
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        return value - (1 << bits) if field[0] & 0x40 else value & ~(1 << (bits - 1))
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        raise InvalidArgument(f"the layer archive has a damaged header: {digits!r} is not an octal number") from None


def _check_sum(header: bytes, field: bytes) -> None:
    """The sum of the header with its own field as blanks; some old writers summed signed bytes."""
    wanted = number(field)
    found = total(header) - sum(field) + 256
    if found != wanted:
        signed = sum(byte - 256 if byte > 127 else byte for byte in header) - sum(field) + 256
        if signed != wanted:
            raise InvalidArgument("the layer is not a tar archive, or has a damaged header (wrong checksum)")


def _special(stream: Stream, header: bytes) -> bytes:
    _check_sum(header, header[148:156])
    size = number(header[124:136])
    if not 0 <= size <= SPECIAL_LIMIT:
        raise InvalidArgument(f"the layer archive has an extended header of {size} bytes, the limit is {SPECIAL_LIMIT}")
    content = stream.read(size)
    stream.skip(-size % BLOCK)
    return content


def _pax_records(content: bytes) -> tuple[dict[bytes, bytes], list[tuple[int, int]]]:
    """The ``length key=value`` lines; sparse format 0.0 repeats its keys, so those are gathered apart."""
    records: dict[bytes, bytes] = {}
    regions: list[tuple[int, int]] = []
    offset = None
    at = 0
    while at < len(content):
        digits, blank, _ = content[at : at + 10].partition(b" ")
        if not blank or not digits.isdigit() or content[at + int(digits) - 1 : at + int(digits)] != b"\n":
            raise InvalidArgument("the layer archive has a damaged PAX header")
        key, equals, value = content[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if not equals or not key:
            raise InvalidArgument("the layer archive has a damaged PAX header")
        at += int(digits)
        if key == b"GNU.sparse.offset":
            offset = _decimal(value)
        elif key == b"GNU.sparse.numbytes" and offset is not None:
            regions.append((offset, _decimal(value)))
            offset = None
        else:
            records[key] = value
    return records, regions


def _apply_pax(entry: Entry, records: dict[bytes, bytes]) -> None:
    for key, value in records.items():
        if key.startswith(b"SCHILY.xattr."):
            if entry.xattrs is None:
                entry.xattrs = {}
            if b"\0" in key:
                raise InvalidArgument("the layer archive has an attribute with a NUL byte in its name")
            entry.xattrs[key[13:].decode("utf-8", "surrogateescape")] = value
            continue
        setter = _PAX_SETTERS.get(key)
        if setter and value:
            setter(entry, value)
    if b"\0" in entry.name or b"\0" in entry.link:
        raise InvalidArgument("the layer archive has a name with a NUL byte")


def _set_size(entry: Entry, value: bytes) -> None:
    entry.size = entry.real_size = _decimal(value)


def _set_mtime(entry: Entry, value: bytes) -> None:
    seconds, _, fraction = value.partition(b".")
    negative = seconds.startswith(b"-")
    nanoseconds = int((fraction + b"000000000")[:9]) if not fraction or fraction.isdigit() else _decimal(fraction)
    whole = _decimal(seconds.removeprefix(b"-"))
    if negative:
        whole = -whole
        nanoseconds = -nanoseconds
    entry.mtime = _clamp(whole) * 1_000_000_000 + nanoseconds


_PAX_SETTERS: dict[bytes, Callable[[Entry, bytes], None]] = {
    b"path": lambda entry, value: setattr(entry, "name", value),
    b"linkpath": lambda entry, value: setattr(entry, "link", value),
    b"uid": lambda entry, value: setattr(entry, "uid", _decimal(value)),
    b"gid": lambda entry, value: setattr(entry, "gid", _decimal(value)),
    b"GNU.sparse.name": lambda entry, value: setattr(entry, "name", value),
    b"size": _set_size,
    b"mtime": _set_mtime,
}


def _resolve_sparse(
    entry: Entry, stream: Stream, header: bytes, records: dict[bytes, bytes], regions: list[tuple[int, int]]
) -> None:
    """Find the map of a sparse file in whichever of the four places its writer put it, and check it."""
    if entry.type in _HEADER_ONLY:
        entry.size = entry.real_size = 0
        return
    if entry.type == b"S":
        entry.sparse, entry.real_size = _old_gnu_map(stream, header)
        entry.type = REGULAR
    elif records.get(b"GNU.sparse.major") == b"1":
        entry.real_size = _decimal(records.get(b"GNU.sparse.realsize", b""))
        entry.sparse = _map_in_data(entry, stream)
    elif b"GNU.sparse.size" in records:
        entry.real_size = _decimal(records[b"GNU.sparse.size"])
        flat = [_decimal(part) for part in records.get(b"GNU.sparse.map", b"").split(b",") if part]
        entry.sparse = list(zip(flat[::2], flat[1::2], strict=False)) if flat else regions
    if entry.size < 0:
        raise InvalidArgument("the layer archive has an entry of negative size")
    if entry.real_size > _LARGEST:
        raise InvalidArgument(f"the layer archive has a file of {entry.real_size} bytes")
    if entry.sparse is not None:
        _check_map(entry)


def _check_map(entry: Entry) -> None:
    position = total = 0
    for offset, length in entry.sparse or ():
        if offset < position or length < 0 or offset + length > entry.real_size:
            raise InvalidArgument("the layer archive has a sparse file with an impossible map")
        position = offset + length
        total += length
    if total != entry.size or len(entry.sparse or ()) > SPARSE_LIMIT:
        raise InvalidArgument("the layer archive has a sparse file with an impossible map")


def _old_gnu_map(stream: Stream, header: bytes) -> tuple[list[tuple[int, int]], int]:
    regions = _gnu_regions(header[386:482])
    more = header[482]
    while more:
        block = stream.read(BLOCK)
        regions += _gnu_regions(block[:504])
        more = block[504]
        if len(regions) > SPARSE_LIMIT:
            raise InvalidArgument(f"the layer archive has a sparse file of more than {SPARSE_LIMIT} regions")
    return regions, number(header[483:495])


def _gnu_regions(table: bytes) -> list[tuple[int, int]]:
    found = []
    for at in range(0, len(table), 24):
        if not table[at]:
            break
        found.append((number(table[at : at + 12]), number(table[at + 12 : at + 24])))
    return found


def _map_in_data(entry: Entry, stream: Stream) -> list[tuple[int, int]]:
    """Format 1.0: the number of regions, then their numbers, before the data."""
    numbers = _numbers_in_data(entry, stream)
    count = next(numbers)
    if count > SPARSE_LIMIT:
        raise InvalidArgument(f"the layer archive has a sparse file of more than {SPARSE_LIMIT} regions")
    return [(next(numbers), next(numbers)) for _ in range(count)]


def _numbers_in_data(entry: Entry, stream: Stream) -> Iterator[int]:
    """Decimal numbers, one a line; what is left of the last block is padding."""
    text = b""
    while True:
        line, newline, rest = text.partition(b"\n")
        if newline:
            text = rest
            yield _decimal(line)
        elif len(text) > 20 or entry.size < BLOCK:
            raise InvalidArgument("the layer archive has a sparse file with an impossible map")
        else:
            text += stream.read(BLOCK)
            entry.size -= BLOCK


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise InvalidArgument(f"the layer archive has a damaged PAX header: {text[:40]!r} is not a number")
    return int(text)


def _clamp(seconds: int) -> int:
    return min(max(seconds, _SECONDS[0]), _SECONDS[1])
