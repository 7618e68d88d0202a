"""The way out of an ordinary user's networks: pasta(1), or slirp4netns(1), between their namespace and the host's."""

from __future__ import annotations

import os
import time
from _signal import SIG_DFL, SIGPIPE, signal
from select import POLLIN, poll

from utsuwa.linux.libc import call

_PLACES = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin")
_PATIENCE = 10.0
"""Seconds that such a program may take to begin."""
_INTERFACE = "up0"
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


def program(name: str) -> str:
    """The path of a program, "" where it is not installed."""
    for place in _PLACES:
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    return ""


def problem() -> str:
    """Why networks of this host's ordinary users have no way out, "" when they have."""
    if program("pasta") or program("slirp4netns"):
        return ""
    return "pasta is missing, install the package passt (or slirp4netns)"


class Uplink:
    """The program that runs, if any does. ``pin`` names the namespace; ``directory`` is where it may write."""

    def __init__(self, pin: str, directory: str) -> None:
        self._pin, self._directory = pin, directory
        self.process = -1
        """A pidfd of it, -1 without."""
        self._pid = 0

    def start(self) -> bool:
        """Have one running and ready: the first that can be. What they say goes to our standard error."""
        for name in ("pasta", "slirp4netns"):
            path = program(name)
            if not path:
                continue
            ready, tell = os.pipe2(os.O_CLOEXEC)
            self._pid = self._spawn(path, self._words(name, tell), tell)
            os.close(tell)
            self.process = os.pidfd_open(self._pid)
            try:
                if self._is_ready(ready):
                    return True
            finally:
                os.close(ready)
            self.end()
        return False

    def _words(self, name: str, tell: int) -> list[str]:
        """Its command line; ``tell`` is the descriptor to which slirp4netns writes that it is ready."""
        if name == "pasta":
            closed = [word for option in "tuTU" for word in (f"-{option}", "none")]
            words = [name, "--config-net", "-q", "-e", "-f", "-I", _INTERFACE, *closed, "--no-map-gw"]
            return [*words, "-P", f"{self._directory}/pid", "--netns", self._pin]
        words = [name, "--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={tell}"]
        return [*words, "--netns-type=path", self._pin, _INTERFACE]

    def _spawn(self, path: str, words: list[str], tell: int) -> int:
        """Its pid; it ends with us, however that comes about."""
        try:
            os.unlink(f"{self._directory}/pid")
        except FileNotFoundError:
            pass
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
                signal(SIGPIPE, SIG_DFL)  # pasta takes it for an error when it is ignored already
                if os.getppid() == parent:
                    os.set_inheritable(tell, True)
                    os.execve(path, words, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
            finally:
                os._exit(127)
        return pid

    def _is_ready(self, ready: int) -> bool:
        """slirp4netns writes to a descriptor, pasta a file; neither does so when it ends instead."""
        waiting = poll()
        waiting.register(self.process, POLLIN)
        waiting.register(ready, POLLIN)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for descriptor, events in waiting.poll(5):
                if descriptor == self.process:
                    return False
                if events & POLLIN and os.read(ready, 16):
                    return True
                waiting.unregister(ready)
            if os.path.exists(f"{self._directory}/pid") and os.path.getsize(f"{self._directory}/pid"):
                return True
        return False

    def end(self) -> None:
        """End what runs, and reap it."""
        if self.process >= 0:
            from _signal import pidfd_send_signal

            try:
                pidfd_send_signal(self.process, _SIGKILL)
            except ProcessLookupError:
                pass
            os.close(self.process)
            self.process = -1
            os.waitpid(self._pid, 0)
