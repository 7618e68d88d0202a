"""The runtime's other verbs against crun and runc.

Three commands for a life, exec, a run under Docker's default seccomp profile, and a hundred runs at once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

from bench.measure import Candidate, Figures, interleave, table
from bench.start import alone, bundle, candidates, scratch
from utsuwa.seccomp.profile import default_profile
from utsuwa.spec.codec import encode

ROUNDS = 40
REST = 0.06
AT_ONCE = 100
TIMES = 3


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
    """Many at once: seconds until the last has ended."""
    figures = {peer.name: Figures() for peer in peers}
    for _ in range(TIMES):
        for peer in peers:
            begin = time.perf_counter()
            commands = [peer.words("run", "-b", str(peer.bundle), f"{peer.identifier}-{n}") for n in range(AT_ONCE)]
            running = [
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for command in commands
            ]
            failed = sum(bool(process.wait()) for process in running)
            figures[peer.name].wall.append((time.perf_counter() - begin) * 1e3)
            if failed:
                raise SystemExit(f"bench: {failed} of {AT_ONCE} runs of {peer.name} failed")
    table(f"{AT_ONCE} runs at once [ms]", figures)
    print(f"{'one of them, urun':28}{statistics.median(figures['urun'].wall) / AT_ONCE:16.2f}")


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
