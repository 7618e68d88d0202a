"""The runtime's other verbs against crun and runc.

Three commands for a life, exec, a run under Docker's default seccomp profile, and a hundred runs at once.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.measure import Candidate, Figures, at_once, interleave, table
from bench.start import alone, bundle, candidates, scratch
from utsuwa.seccomp.profile import default_profile
from utsuwa.spec.codec import encode

ROUNDS = 40
REST = 0.06
AT_ONCE = 100
TIMES = 9


class Peer:
    """A runtime, with a root and a bundle of its own."""

    def __init__(self, name: str, command: list[str], directory: Path) -> None:
        """``command``: the program and its ``--root``."""
        self.name, self.command, self.bundle = name, command, directory
        self.identifier = f"bench-{name}"

    def words(self, verb: str, *more: str) -> list[str]:
        """A command line of this runtime."""
        return [*self.command, verb, *more]

    def __call__(self, verb: str, *more: str) -> None:
        subprocess.run(self.words(verb, *more), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def lives(peers: list[Peer]) -> None:
    """create, start and delete, three processes, one after the other."""
    runs = []
    for peer in peers:
        parts = (
            peer.words("create", "-b", str(peer.bundle), peer.identifier),
            peer.words("start", peer.identifier),
            peer.words("delete", "--force", peer.identifier),
        )
        script = " && ".join(" ".join(part) for part in parts)
        runs.append(Candidate(peer.name, ["sh", "-c", f"({script}) 2>/dev/null"]))
    table("create + start + delete, three commands, 60 ms apart [ms]", interleave(runs, ROUNDS, REST))


def execs(peers: list[Peer]) -> None:
    """One more /bin/true in a container that sleeps."""
    for peer in peers:
        _change(peer.bundle, args=["/bin/busybox", "sleep", "1000"])
        peer("run", "--detach", "-b", str(peer.bundle), peer.identifier)
    runs = [Candidate(peer.name, peer.words("exec", peer.identifier, "/bin/true")) for peer in peers]
    table("exec of /bin/true, 60 ms apart [ms]", interleave(runs, ROUNDS, REST))
    for peer in peers:
        peer("delete", "--force", peer.identifier)
        _change(peer.bundle, args=["/bin/true"])


def confined(peers: list[Peer]) -> None:
    """run, with the filter that Docker gives every container."""
    for peer in peers:
        path = peer.bundle / "config.json"
        config = json.loads(path.read_text())
        config["linux"]["seccomp"] = encode(default_profile(config["process"]["capabilities"]["bounding"]))
        path.write_text(json.dumps(config))
    runs = [Candidate(peer.name, peer.words("run", "-b", str(peer.bundle), peer.identifier)) for peer in peers]
    table("run under Docker's default seccomp profile, 60 ms apart [ms]", interleave(runs, ROUNDS, REST))


def crowd(peers: list[Peer]) -> None:
    """Many at once, until the last has ended; after one time that does not count."""
    figures = {peer.name: Figures() for peer in peers}
    for number in range(TIMES + 1):
        for peer in peers:
            names = [f"{peer.identifier}-{n:03}" for n in range(AT_ONCE)]
            wall, cpu = at_once([peer.words("run", "-b", str(peer.bundle), name) for name in names])
            if number:
                figures[peer.name].wall.append(wall)
                figures[peer.name].cpu.append(cpu)
    table(f"{AT_ONCE} runs at once [ms], processor time of one", figures)


def _change(directory: Path, **process: object) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["process"] |= process
    path.write_text(json.dumps(config))


def main() -> None:
    """Print the tables."""
    if not alone("verbs"):
        return
    with scratch() as root:
        directory = bundle(root)
        peers = [Peer(each.name, list(each.argv[:3]), directory) for each in candidates(directory)]
        lives(peers)
        execs(peers)
        crowd(peers)
        confined(peers)
