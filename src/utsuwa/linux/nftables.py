"""Whether there is a table of nf_tables (linux/netfilter/nf_tables.h); everything else about them is told by nft(8)."""

from __future__ import annotations

from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from _struct import Struct

INET = 1
"""The family of tables for both versions of the Internet protocol."""

_NETFILTER = 12
_GETTABLE = 10 << 8 | 1
_NEWTABLE = 10 << 8
_HEAD = Struct("=IHHIIBBH")
_SIZE = 1 << 14


def has_table(name: str, family: int = INET) -> bool:
    """Ask the kernel. Raises OSError where there is no nf_tables."""
    text = name.encode() + b"\0"
    body = (4 + len(text)).to_bytes(2, "little") + b"\1\0" + text + bytes(-len(text) & 3)
    connection = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETFILTER)
    try:
        connection.send(_HEAD.pack(_HEAD.size + len(body), _GETTABLE, 1, 1, 0, family, 0, 0) + body)
        answer = connection.recv(_SIZE)
    finally:
        connection.close()
    return int.from_bytes(answer[4:6], "little") == _NEWTABLE
