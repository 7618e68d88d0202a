"""Who lives in an ordinary user's namespace for longer than a command: through each of them it can be found again.

RUN/inhabitants/PID-START   an empty file; who was killed leaves it, and the next to come takes it away

The keepers of containers are not among them: their run.json says who they are.
"""

from __future__ import annotations

import os

from utsuwa.runtime.process import start_time

_DIRECTORY = "inhabitants"


def move_in(run: str) -> None:
    """Write down that this process lives there. Raises OSError."""
    directory = f"{run}/{_DIRECTORY}"
    os.makedirs(directory, 0o700, exist_ok=True)
    for name in os.listdir(directory):
        if not _is_alive(name):
            _remove(f"{directory}/{name}")
    me = os.getpid()
    os.close(os.open(f"{directory}/{me}-{start_time(me)}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def living(run: str) -> list[int]:
    """The pids of those who are there."""
    try:
        names = os.listdir(f"{run}/{_DIRECTORY}")
    except FileNotFoundError:
        return []
    return [int(name.partition("-")[0]) for name in names if _is_alive(name)]


def _is_alive(name: str) -> bool:
    pid, _, started = name.partition("-")
    return pid.isdigit() and started.isdigit() and start_time(int(pid)) == int(started)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # somebody else did
        pass
