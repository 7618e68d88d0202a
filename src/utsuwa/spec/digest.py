"""Content digests of the OCI image specification (descriptor.md, "Digests"): ``sha256:<hex>`` and ``sha512:<hex>``."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unavailable, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Buffer = bytes | bytearray | memoryview

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
"""The registered algorithms and how many hexadecimal digits each has."""

_HEX = frozenset("0123456789abcdef")


class Digest(str):
    """A digest known to be well formed; it is its own text, so it serves as key, file name part and JSON value."""

    __slots__ = ()

    @property
    def algorithm(self) -> str:
        """``sha256`` or ``sha512``."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The digits after the colon."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve digits, as people see them."""
        return self.hex[:12]


def parse(text: str) -> Digest:
    """The digest in ``text``; raises InvalidArgument when malformed, Unsupported for an algorithm that is not
    registered.
    """
    algorithm, colon, digits = text.partition(":")
    if not colon or not algorithm or not digits:
        raise InvalidArgument(f'"{text[:160]}" is not a digest, expected algorithm:hex')
    length = HEX_LENGTHS.get(algorithm)
    if length is None:
        raise Unsupported(f'digest algorithm "{algorithm[:32]}" is not supported, use sha256 or sha512')
    if len(digits) != length or not _HEX.issuperset(digits):
        raise InvalidArgument(f'"{text[:160]}" is not a digest, {algorithm} has {length} lower-case hexadecimal digits')
    return Digest(text)


def hasher(algorithm: str = "sha256") -> Any:
    """A running hash with ``update`` and ``hexdigest``: OpenSSL's, which uses the processor's SHA instructions, or
    Python's own where that can't be loaded.
    """
    try:
        from _hashlib import new  # costs 4 ms, which only those who hash pay
    except ImportError:
        from hashlib import new as own_new

        return own_new(algorithm, usedforsecurity=True)
    return new(algorithm, usedforsecurity=True)


def of(data: Buffer, algorithm: str = "sha256") -> Digest:
    """The digest of some bytes."""
    running = hasher(algorithm)
    running.update(data)
    return Digest(f"{algorithm}:{running.hexdigest()}")


class Verifier:
    """Checks a stream against the digest (and the size, unless None) that was promised for it.

    The hash state lives here, so a broken transfer goes on with the same verifier where it stopped.
    """

    def __init__(self, digest: Digest, size: int | None = None) -> None:
        self.digest = digest
        self.size = size
        self.seen = 0
        self._running = hasher(digest.algorithm)

    def update(self, chunk: Buffer) -> None:
        """Take the next bytes; raises Unavailable as soon as there are more than promised."""
        self.seen += len(chunk)
        if self.size is not None and self.seen > self.size:
            raise Unavailable(f"{self.digest}: got more than the {self.size} bytes promised")
        self._running.update(chunk)

    def finish(self) -> None:
        """Raise Unavailable unless exactly what was promised has been seen."""
        if self.size is not None and self.seen != self.size:
            raise Unavailable(f"{self.digest}: got {self.seen} of the {self.size} bytes promised")
        found = self._running.hexdigest()
        if found != self.digest.hex:
            raise Unavailable(f"{self.digest}: the content has another digest, {self.digest.algorithm}:{found}")


def verify(digest: Digest, data: Buffer, size: int | None = None) -> None:
    """Raise Unavailable unless ``data`` has this digest (and size)."""
    verifier = Verifier(digest, size)
    verifier.update(data)
    verifier.finish()
