"""Hooks that the runtime itself runs, in its own namespaces: prestart, createRuntime, poststart, poststop.

createContainer and startContainer hooks run inside, so they are operations of the plan.
"""

from __future__ import annotations

import os
from select import POLLIN, poll

from utsuwa.errors import Error, FailedPrecondition
from utsuwa.linux.signals import killed_by
from utsuwa.spec.codec import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.runtime.record import Document
    from utsuwa.spec.runtime import Hook, Spec

_OUTPUT_SHOWN = 4096
_PYTHON_IGNORES = (13, 25)  # SIGPIPE, SIGXFSZ: ignored dispositions survive exec


def state_json(document: Document, status: str, pid: int) -> str:
    """The state of the container, as a hook reads it on its standard input (runtime.md "State"), on one line."""
    state: dict[str, object] = {"ociVersion": document.ociVersion, "id": document.id, "status": status}
    if pid:
        state["pid"] = pid
    state["bundle"] = document.bundle
    if document.annotations:
        state["annotations"] = document.annotations
    return dumps(state)


def state_around_pid(document: Document, status: str) -> tuple[str, str]:
    """The same JSON before and after the pid: hooks inside see another pid than we do, and fill it in there."""
    marker = 2**53 - 111
    before, _, after = state_json(document, status, marker).partition(str(marker))
    return before, after


def of(spec: Spec, kind: str) -> tuple[Hook, ...]:
    """The hooks of one kind, in order."""
    return (getattr(spec.hooks, kind) or ()) if spec.hooks is not None else ()


def run(kind: str, hooks: tuple[Hook, ...], state: str, bundle: str, container: int = -1) -> None:
    """Run the hooks in order; raise for the first that fails, without running those behind it.

    ``container``: a pidfd; when that process ends, there is nothing left to prepare, and a hook that hangs is killed.
    """
    for index, hook in enumerate(hooks):
        run_one(kind, index, hook, state, bundle, container)


def run_one(kind: str, index: int, hook: Hook, state: str, bundle: str, container: int = -1) -> None:
    """Run one hook with ``state`` on its standard input and the bundle as working directory.

    Raises FailedPrecondition ``error running createRuntime hook #0: exit status 1, output: …`` when it fails.
    """
    output = os.memfd_create("hook-output", os.MFD_CLOEXEC)
    try:
        problem = _outcome(hook, state, bundle, output, container)
        if problem:
            os.lseek(output, 0, os.SEEK_SET)
            said = os.read(output, _OUTPUT_SHOWN).decode(errors="replace").strip()
            raise FailedPrecondition(
                f"error running {kind} hook #{index}: {hook.path}: {problem}" + (f", output: {said}" if said else "")
            )
    finally:
        os.close(output)


def _outcome(hook: Hook, state: str, bundle: str, output: int, container: int) -> str:
    """Run the hook until it ends or its time is over; what went wrong, "" when nothing did."""
    try:
        pid = _spawn(hook, state, bundle, output)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    try:
        reason = _await(pid, hook.timeout, container)
        if reason:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return reason
        status = os.waitpid(pid, 0)[1]
    except BaseException:  # a signal asks us to end: the hook must not outlive us
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise
    if os.WIFSIGNALED(status):
        return killed_by(os.WTERMSIG(status))
    return f"exit status {os.WEXITSTATUS(status)}" if status else ""


def _await(pid: int, seconds: int | None, container: int) -> str:
    """Wait until the hook has ended; "" then, else why nobody waits for it any longer."""
    descriptor = os.pidfd_open(pid)
    try:
        waiting = poll()
        waiting.register(descriptor, POLLIN)
        if container >= 0:
            waiting.register(container, POLLIN)
        ready = dict(waiting.poll(None if seconds is None else min(seconds * 1000, 2**31 - 1)))
    finally:
        os.close(descriptor)
    if descriptor in ready:
        return ""
    return "the container's process was killed meanwhile" if ready else f"timed out after {seconds} s"


def _spawn(hook: Hook, state: str, bundle: str, output: int) -> int:
    """Start the hook. Its input is a memfd, its output too: nobody has to pump pipes, and nobody can hang on one."""
    source = os.memfd_create("container-state", os.MFD_CLOEXEC)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.write(source, state.encode())
        os.lseek(source, 0, os.SEEK_SET)
        try:
            os.chdir(bundle)
        except OSError:
            pass  # poststop: the bundle may be gone by now, which is no reason not to run
        return os.posix_spawn(
            hook.path,
            hook.args or (hook.path,),
            dict(entry.split("=", 1) for entry in hook.env or () if "=" in entry),
            file_actions=(
                (os.POSIX_SPAWN_DUP2, source, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ),
            setsigmask=(),
            setsigdef=_PYTHON_IGNORES,
        )
    finally:
        os.fchdir(here)
        os.close(here)
        os.close(source)


def run_all(kind: str, hooks: tuple[Hook, ...], state: str, bundle: str) -> list[str]:
    """Run every hook even if some fail, as poststop wants it (runtime.md "Lifecycle" 13); the failures' messages."""
    failures = []
    for index, hook in enumerate(hooks):
        try:
            run_one(kind, index, hook, state, bundle)
        except Error as error:
            failures.append(str(error))
    return failures
