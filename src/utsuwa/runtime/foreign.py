"""Containers that another OCI runtime makes for us (runc, crun, runsc): its program is run for each operation.

Our own record of the container is kept beside, with the process's pid and the ``external`` command, so that everybody
who looks for containers finds it, and whoever removes it runs that runtime's delete first. The root file system is
mounted in a mount namespace that only the runtime's processes have: after a crash nothing is left mounted.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket
from errno import EACCES, ENOENT

from utsuwa.errors import Error, FailedPrecondition, Internal, InvalidArgument, NotFound, Unavailable, from_oserror
from utsuwa.runtime.process import start_time
from utsuwa.runtime.record import Container, Document, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.spec.mount import Mount

_LOG, _PID, _PROCESS = "runtime.log", "pid", "process.json"
_LONGEST_SUN_PATH = 107
_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_NOT_EXECUTABLE, _NO_SUCH_FILE = 126, 127
VERSION = "1.0.2"
"""Of the specification: what the engine asks of other runtimes is all in there, and old ones refuse newer numbers."""


class Refusal(Error):
    """The runtime said no; ``code`` is the exit code that Docker gives the container for what it said."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 125
        text = message.lower()
        if "permission denied" in text or "is a directory" in text:
            self.code = _NOT_EXECUTABLE
        elif "executable file" in text or "no such file or directory" in text:
            self.code = _NO_SUCH_FILE


class Foreign:
    """One container of another runtime. ``command`` is the program and its global options; ``directory`` takes the
    files of our conversation with it.
    """

    def __init__(self, store: Store, identifier: str, command: Sequence[str], directory: str) -> None:
        self._store, self._id, self._directory = store, identifier, directory
        self._plain = tuple(command)
        self._command = (*command, "--log", f"{directory}/{_LOG}", "--log-format", "json")

    def start(
        self,
        bundle: str,
        config: bytes,
        mounts: Sequence[Mount],
        console: int,
        plug: Callable[[int], None] | None = None,
    ) -> int:
        """Create and start a container with our standard streams, or with a terminal whose master is sent to
        ``console``; its pid. Raises Refusal, and leaves nothing behind.

        ``plug`` is called with the pid in between: it sets up the network.
        """
        container = self._store.create(self._id)
        try:
            container.announce(self._document(bundle))
            container.keep_config(config)
            self._mount(f"{bundle}/rootfs", mounts)
            _keep_null()
            self._run(["create", "--bundle", bundle], console)
            pid = self._pid()
            container.save(pid=pid, startTime=start_time(pid) or 0)
            container.complete()
            if plug:
                plug(pid)
            self._run(["start"], -1)
        except BaseException:
            from utsuwa.runtime.delete import discard

            discard(container)
            raise
        container.unlock()
        return pid

    def execute(self, process: bytes, console: int) -> int:
        """Start one more process; its pid, or that of the program that stands for it."""
        path = f"{self._directory}/{_PROCESS}.{os.getpid()}"
        with open(path, "wb", buffering=0) as file:
            file.write(process)
        _keep_null()
        try:
            self._run(["exec", "--detach", "--process", path], console)
            return self._pid()
        finally:
            os.unlink(path)

    def _document(self, bundle: str) -> Document:
        from utsuwa.runtime.draft import now

        return Document(
            id=self._id,
            ociVersion=VERSION,
            bundle=bundle,
            rootfs=f"{bundle}/rootfs",
            created=now(),
            external=self._plain,
        )

    def _mount(self, root: str, mounts: Sequence[Mount]) -> None:
        from utsuwa.linux import mounting

        try:
            mounting.leave_mounts()
            for mount in mounts:
                bind = mount.type == "bind"
                flags = mounting.MS_BIND | mounting.MS_REC if bind else 0
                mounting.mount(mount.source, root, mount.type, flags, "" if bind else ",".join(mount.options))
        except OSError as error:
            raise from_oserror(error, f"mount {root} for {self._command[0]}") from error

    def _run(self, words: list[str], console: int) -> None:
        """One operation. With a console the runtime gets a socket to send the terminal to, and no standard streams."""
        listener = None
        options = [] if words == ["start"] else ["--pid-file", f"{self._directory}/{_PID}.{os.getpid()}"]
        if console >= 0:
            listener, path = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC), self._console()
            listener.bind(path)
            listener.listen(1)
            options += ["--console-socket", path]
        try:
            command = [*self._command, *words, *options, self._id]
            if run(command, quiet=console >= 0 or words == ["start"]) != 0:
                raise Refusal(self._complaint())
            if listener is not None:
                _pass_on(listener, console)
        finally:
            if listener is not None:
                listener.close()
                os.unlink(path)

    def _console(self) -> str:
        """Where the terminal is to be sent: a path that any program can connect to. Raises InvalidArgument."""
        path = f"{os.path.dirname(self._store.root)}/console.{os.getpid()}"
        if len(os.fsencode(path)) > _LONGEST_SUN_PATH:
            raise InvalidArgument(f"{path} is too long for a socket: use a shorter run directory")
        return path

    def _pid(self) -> int:
        path = f"{self._directory}/{_PID}.{os.getpid()}"
        try:
            with open(path, "rb", buffering=0) as file:
                pid = int(file.read())
            os.unlink(path)
        except (OSError, ValueError) as error:
            raise Internal(f"{self._command[0]} left no pid in {path}") from error
        return pid

    def _complaint(self) -> str:
        """The last error in the runtime's log."""
        from utsuwa.spec.codec import parse

        found = f"{self._command[0]} failed and did not say why"
        try:
            with open(f"{self._directory}/{_LOG}", "rb", buffering=0) as file:
                lines = file.read().splitlines()
        except OSError:
            return found
        for line in lines:
            try:
                entry = parse(line)
            except Error:
                continue
            if entry.get("level") in ("error", "fatal", "warning") and entry.get("msg"):
                found = f"{os.path.basename(self._command[0])}: {entry['msg']}"
        return found


def _keep_null() -> None:
    """An ended pipe for a standard input that is the host's null device: runsc gives what it finds there to nobody."""
    null, ours = os.stat("/dev/null"), os.fstat(0)
    if (null.st_dev, null.st_ino) == (ours.st_dev, ours.st_ino):
        end, writer = os.pipe()
        os.close(writer)
        os.dup2(end, 0)
        os.close(end)


def run(command: Sequence[str], quiet: bool = True) -> int:
    """Run a program to its end, with our standard streams or with none; its exit code. Raises NotFound and others."""
    actions = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)] if quiet else []
    try:
        pid = os.posix_spawn(command[0], list(command), _PATH, file_actions=actions)
    except OSError as error:
        if error.errno in (ENOENT, EACCES):
            raise NotFound(f"the runtime {command[0]} can't be run: {os.strerror(error.errno)}") from error
        raise from_oserror(error, f"run {command[0]}") from error
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # in a worker the kernel reaps: it has ended, and nobody knows how
        return 0


def kill(container: Container, number: int) -> None:
    """Have the runtime send a signal: the process that we know need not be the container's. Raises
    FailedPrecondition.
    """
    if run([*container.document.external, "kill", container.id, str(number)]) != 0:
        raise FailedPrecondition("container not running")


def forget(container: Container) -> None:
    """Have the runtime remove what it knows of the container, running or not. Raises Unavailable without the
    runtime.
    """
    command = container.document.external
    if not os.access(command[0], os.X_OK):
        raise Unavailable(f"container {container.id} was made by {command[0]}, which is not there any more")
    run([*command, "delete", "--force", container.id])


def _pass_on(listener: socket, console: int) -> None:
    """The terminal that the runtime has sent, on to the one that waits for it."""
    listener.settimeout(10.0)
    connection, _address = listener._accept()  # type: ignore[attr-defined]
    arrived = socket(fileno=connection)
    name, ancillary, _flags, _from = arrived.recvmsg(4096, CMSG_SPACE(4), 0x40000000)  # MSG_CMSG_CLOEXEC
    arrived.close()
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS and len(data) >= 4:
            forward = socket(fileno=os.dup(console))
            forward.sendmsg([name or b"terminal"], [(SOL_SOCKET, SCM_RIGHTS, data[:4])])
            forward.close()
            os.close(int.from_bytes(data[:4], "little"))
            return
    raise Internal("the runtime sent no terminal")
