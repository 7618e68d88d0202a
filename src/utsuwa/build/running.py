"""The container of a RUN: started by a process of its own, which ends it when the build is killed.

That process is a fork of the build: the runtime is imported already, and the container's streams are its own. It
holds the build's lock, so nobody clears up before it has; a pipe from the build tells it that the build is gone.
"""

from __future__ import annotations

import os
from _signal import SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, signal
from select import POLLIN, poll

from utsuwa.build import workshop
from utsuwa.errors import Error, Internal
from utsuwa.runtime import create, run
from utsuwa.runtime.bundle import Bundle
from utsuwa.runtime.delete import delete
from utsuwa.runtime.draft import CreateRequest
from utsuwa.runtime.process import exit_code
from utsuwa.runtime.record import Store
from utsuwa.runtime.undo import Undo
from utsuwa.spec.codec import dumps, encode, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from utsuwa.build.kitchen import Kitchen
    from utsuwa.build.networking import Connection
    from utsuwa.engine.paths import Paths
    from utsuwa.init.spawn import Child
    from utsuwa.runtime.record import Container as Made
    from utsuwa.spec.mount import Mount
    from utsuwa.spec.runtime import Spec

_CHUNK = 1 << 16


class Container:
    """What a RUN needs: the configuration, the mounts of its root, the user to look up inside, and its network;
    ``name`` is its id.
    """

    def __init__(
        self, directory: str, spec: Spec, root_mounts: tuple[Mount, ...], user: str, connection: Connection
    ) -> None:
        self.name, self.directory, self.spec = connection.name, directory, spec
        self.root_mounts, self.user, self.connection = root_mounts, user, connection


def prepare() -> None:
    """Do once what every fork would do for itself: imports, looking at the host, sealing the executor."""
    from utsuwa.cgroup.filesystem import open_manager
    from utsuwa.init.spawn import sealed
    from utsuwa.linux.host import probe
    from utsuwa.seccomp import cache  # noqa: F401

    open_manager(probe(), "/utsuwa/build", "build")
    sealed()


def execute(container: Container, kitchen: Kitchen, show: Callable[[bytes], None]) -> int:
    """Run a container to its end and give its output to ``show`` as it comes; the exit code.

    Raises what the runtime says when the container can't be started, Stopped when nothing more is to be begun.
    """
    lifelines = kitchen.lifelines
    with lifelines.lock:
        alive, hold = os.pipe2(os.O_CLOEXEC)
        output, out = os.pipe2(os.O_CLOEXEC)
        report, tell = os.pipe2(os.O_CLOEXEC)
        try:
            lifelines.add(hold)
            keeper = os.fork()
            if keeper == 0:
                _keep(container, kitchen, alive, out, tell)
        finally:
            for fd in (alive, out, tell):
                os.close(fd)
    try:
        told = _listen(output, report, show)
        if not told:  # the keeper was killed, and its container goes on
            delete(Store(kitchen.paths.runtime), container.name, force=True)
            container.connection.leave()
        while chunk := os.read(output, _CHUNK):
            show(chunk)
    finally:
        lifelines.drop(hold)  # without it, the keeper ends the container
        for fd in (output, report):
            os.close(fd)
        os.waitpid(keeper, 0)
    return _code(told)


def _listen(output: int, report: int, show: Callable[[bytes], None]) -> bytes:
    """Show what is said until the keeper has told how it ended, or is gone; what it told."""
    waiting = poll()
    waiting.register(output, POLLIN)
    waiting.register(report, POLLIN)
    told = b""
    while True:
        ready = [fd for fd, _ in waiting.poll()]
        if output in ready:
            chunk = os.read(output, _CHUNK)
            show(chunk)
            if not chunk:
                waiting.unregister(output)
        elif report in ready:
            chunk = os.read(report, _CHUNK)
            if not chunk:
                return told
            told += chunk


def _code(told: bytes) -> int:
    from utsuwa import errors

    if not told:
        raise Internal("the process that keeps the container died, see the kernel's log for a reason")
    answer = parse(told)
    if "error" in answer:
        kinds = {each.__name__: each for each in errors.KINDS}
        raise kinds.get(answer["error"], Error)(answer["message"])
    return int(answer["code"])


def _keep(container: Container, kitchen: Kitchen, alive: int, out: int, tell: int) -> NoReturn:
    """The life of the keeper. Never returns."""
    answer: dict[str, object] = {}
    try:
        os.setsid()
        _let_go(kitchen)
        for number in (SIGINT, SIGHUP, SIGTERM):
            signal(number, SIG_IGN)  # the build is who decides
        signal(SIGPIPE, SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, stream in ((null, 0), (out, 1), (out, 2)):
            os.dup2(fd, stream)
        os.close(out)
        answer["code"], abandoned = _run(container, kitchen.paths, alive)
        if abandoned:
            workshop.clear(kitchen.paths, kitchen.images, kitchen.workshop.name)
    except Error as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # our own fault, told in one line
        answer = {"error": "Internal", "message": f"keep the container: {type(error).__name__}: {error}"}
    finally:
        try:
            signal(SIGPIPE, SIG_IGN)
            os.write(tell, dumps(answer).encode())
        except OSError:
            pass
        os._exit(0)


def _let_go(kitchen: Kitchen) -> None:
    """Close what the build has open in its stores, and the pipes to its containers: we must not hold another thread's
    lock for longer than it does, nor keep a pipe from ending. What the interpreter itself has open stays.
    """
    for pipe in kitchen.lifelines.pipes:
        os.close(pipe)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd != kitchen.workshop.lock and os.readlink(f"/proc/self/fd/{fd}").startswith(f"{kitchen.paths.root}/"):
                os.close(fd)
        except OSError:  # that of the listing itself
            continue


def _run(container: Container, paths: Paths, alive: int) -> tuple[int, bool]:
    """Exit code, and whether the build was killed meanwhile."""
    try:
        made, child = _start(container, paths)
        ended, status = _hold(made, child, alive)
    finally:
        container.connection.leave()
    return exit_code(status), not (ended or os.read(alive, 1))


def _start(container: Container, paths: Paths) -> tuple[Made, Child]:
    connection = container.connection
    request = CreateRequest(
        id=container.name,
        bundle=container.directory,
        root_mounts=container.root_mounts,
        user=container.user or None,
        network=connection.joins,
    )
    config = dumps(encode(container.spec)).encode()
    bundle = Bundle(container.directory, config, container.spec, f"{container.directory}/rootfs")
    store = Store(paths.runtime)
    with Undo() as undo:
        return create.build(store, request, bundle, undo, await_start=False, plug=connection.join)


def _hold(made: Made, child: Child, alive: int) -> tuple[bool, int]:
    """Wait for the container's end, or bring it about; whether it ended by itself, and its status."""
    made.unlock()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # the build waits until the last of those who write is gone
    os.dup2(null, 2)
    ended = _await(child.pid, alive)
    if not ended:
        os.kill(child.pid, SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    run.remove(made)
    return ended, status


def _await(pid: int, alive: int) -> bool:
    """Wait for the end of the process, or for the build's word, or its end: then False."""
    process = os.pidfd_open(pid)
    try:
        waiting = poll()
        waiting.register(process, POLLIN)
        waiting.register(alive, POLLIN)
        return any(fd == process for fd, _ in waiting.poll())
    finally:
        os.close(process)
