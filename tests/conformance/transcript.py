"""Transcripts: shell commands and what they must say, to be played with any engine on any runtime.

    A sentence or two about what it shows.
    engines: docker podman

    $ engine run --rm box sh -c 'echo out; exit 3'
    out
    [3]

A line that begins with ``$ `` is a command, ``> `` continues it; what follows is its standard output and, when it is
not 0, its exit status in brackets. Standard error counts only where the command redirects it. Ids are written ID or id.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SECONDS = 60
"""How long one command may take."""


class Transcript:
    """A file of commands. ``engines``: those that it is meant for. ``steps``: the commands in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()
        self.heading, _, rest = self.text.partition("\n\n")
        self.engines = re.findall(r"^engines: (.*)$", self.heading, re.MULTILINE)[0].split()
        self.steps = [step.rstrip("\n") for step in re.split(r"^(?=\$ )", rest, flags=re.MULTILINE) if step]

    def play(self, environment: dict[str, str], directory: Path, *, whole: bool) -> str:
        """The transcript as it happens in ``directory``: whole, or up to the first step that goes otherwise."""
        told = f"{self.heading}\n\n"
        for step in self.steps:
            told += (happened := _play(step, environment, directory))
            if happened != step + "\n" and not whole:
                break
        return told


def _play(step: str, environment: dict[str, str], directory: Path) -> str:
    lines = step.split("\n")
    spoken = [lines[0], *[line for line in lines[1:] if line.startswith("> ")]]
    command = "\n".join(line[2:] for line in spoken)
    done = subprocess.run(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=directory,
        env=environment,
        timeout=SECONDS,
        check=False,
    )
    print(command, done.returncode, done.stderr.decode(errors="replace"), sep="\n")  # for whoever reads a failure
    told = alike(done.stdout.decode(errors="backslashreplace").replace("\r\n", "\n"))
    told += "\n" if told and not told.endswith("\n") else ""
    return "\n".join(spoken) + "\n" + told + (f"[{done.returncode}]\n" if done.returncode else "")


def alike(text: str) -> str:
    """``text`` with the ids of containers made alike."""
    return re.sub(r"\b[0-9a-f]{12}\b", "id", re.sub(r"\b[0-9a-f]{64}\b", "ID", text))
