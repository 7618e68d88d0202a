"""A CRIU that knows the conversation and none of the work: what it was asked is on file, one request a line.

Where the real one can't run, this shows that options arrive, and that a restored process gets its record.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket

from utsuwa.criu.messages import DUMP, FEATURE_CHECK, MEM_TRACK, NOTIFY, RESTORE, VERSION
from utsuwa.criu.wire import field, fields, number

_CLONE_PARENT, _CLONE = 0x8000, 56
LAZY_PAGES = 2


def install(directory: Path, source: Path) -> Path:
    """Put it into ``directory``; the file of what it will be asked."""
    asked = directory / "asked"
    program = directory / "criu"
    run = f"from tests.contract.played_criu import main; main({str(asked)!r})"
    path = f"sys.path[:0] = {[str(source), str(Path(__file__).resolve().parents[2])]!r}"
    program.write_text(f"#!{sys.executable}\nimport sys; {path}; {run}\n")
    program.chmod(0o755)
    return asked


def main(asked: str) -> None:
    """Serve one connection, as `criu swrk N`."""
    channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, int(sys.argv[2]))
    while request := channel.recv(1 << 18):
        with open(asked, "a") as file:
            file.write(request.hex() + "\n")
        kind = number(fields(request), 1)
        pid = _sibling() if kind == RESTORE else 0
        for script in {DUMP: ("status-ready",), RESTORE: ("post-restore",)}.get(kind, ()):
            channel.send(_answer(NOTIFY, field(5, field(1, script) + field(2, pid))))
            channel.recv(1 << 18)
        channel.send(_answer(kind, *_REPLIES.get(kind, ())))


def _answer(kind: int, *more: bytes) -> bytes:
    return field(1, kind) + field(2, 1) + b"".join(more)


_REPLIES = {
    VERSION: (field(10, field(1, 4) + field(2, 2) + field(4, 0)),),
    FEATURE_CHECK: (field(8, field(MEM_TRACK, 1) + field(LAZY_PAGES, 1)),),
}


def _sibling() -> int:
    """A process beside this one: a child of who started it, as CRIU's rst_sibling makes one."""
    pid = ctypes.CDLL(None).syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.execvp("sleep", ["sleep", "1000"])
    return int(pid)
