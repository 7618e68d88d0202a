"""The sockets of a process's network namespace, from /proc/PID/net (proc(5))."""

from __future__ import annotations

_LISTEN = "0A"


def listening(pid: int) -> set[int]:
    """The TCP ports on which somebody listens in the network namespace of a process; none when the process is gone."""
    ports: set[int] = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}", "rb", buffering=0) as file:
                lines = file.readall().decode("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _number, local, _remote, state = line.split(None, 4)[:4]
            if state == _LISTEN:
                ports.add(int(local.rpartition(":")[2], 16))
    return ports
