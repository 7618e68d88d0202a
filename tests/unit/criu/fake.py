"""A criu that does what a test tells it: answers in order, and what it was asked is on file."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python}
import socket, sys
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, int(sys.argv[2]))
with open({asked!r}, "a") as asked:
    for answer in {answers!r}:
        message = channel.recv(1 << 18)
        if not message:
            sys.exit(1)
        asked.write(message.hex() + "\\n")
        asked.flush()
        for part in answer:
            channel.send(bytes.fromhex(part))
sys.exit({status})
"""


def install(directory: Path, *answers: list[bytes], status: int = 0) -> Path:
    """Write the program; every element of ``answers`` is what one request brings. Gives the file of what was asked."""
    asked = directory / "asked"
    program = directory / "criu"
    hexed = [[part.hex() for part in answer] for answer in answers]
    program.write_text(_PROGRAM.format(python=sys.executable, asked=str(asked), answers=hexed, status=status))
    program.chmod(0o755)
    return asked
