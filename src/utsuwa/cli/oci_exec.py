"""The command line of `urun exec`: which process it describes."""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument, from_oserror
from utsuwa.runtime.exec import ExecRequest
from utsuwa.runtime.record import Store
from utsuwa.spec.codec import decode
from utsuwa.spec.runtime import Capabilities, Process, User
from utsuwa.spec.validate import validate_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from utsuwa.spec.runtime import Spec

_LARGEST_ID = 0xFFFF_FFFE


def request(store: Store, options: dict[str, Any], words: list[str]) -> tuple[ExecRequest, socket | None]:
    """What is asked, and the connected console socket, to be kept until the process has its copy."""
    from utsuwa.runtime.undo import raise_on_signals

    raise_on_signals()
    identifier, arguments = words[0], words[1:]
    container = store.open(identifier)
    process = process_from_file(options["process"]) if options.get("process") else None
    if process is None:
        if not arguments:
            raise InvalidArgument("process args cannot be empty")
        process = process_from_words(container.spec(), options, arguments)
    console = None
    if options.get("console-socket"):
        from utsuwa.runtime.console import connect

        console = connect(options["console-socket"])
    listen_fds = os.environ.get("LISTEN_FDS", "")
    count = int(listen_fds) if listen_fds.isascii() and listen_fds.isdigit() and len(listen_fds) < 6 else 0
    if count:
        process = process.replace(env=(*(process.env or ()), f"LISTEN_FDS={count}", "LISTEN_PID="))
    return (
        ExecRequest(
            id=identifier,
            process=process,
            detach=options.get("detach", False),
            console=console.fileno() if console else -1,
            pid_file=options.get("pid-file", ""),
            pidfd_socket=options.get("pidfd-socket", ""),
            preserve_fds=count + options.get("preserve-fds", 0),
            cgroups=tuple(options.get("cgroup", ())),
            ignore_paused=options.get("ignore-paused", False),
        ),
        console,
    )


def process_from_file(path: str) -> Process:
    """The process that a JSON file describes; it replaces everything (exec -p)."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except OSError as error:
        raise from_oserror(error, f"open {path}") from error
    try:
        process: Process = decode(Process, data)
        validate_process(process)
    except Error as error:
        raise error.within(path) from error
    return process


def process_from_words(spec: Spec, options: dict[str, Any], arguments: list[str]) -> Process:
    """The container's own process with the changes that the command line asks for.

    The terminal comes from the flag alone; no_new_privs stays as it is unless the flag says otherwise, as with runc.
    """
    if spec.process is None:
        raise InvalidArgument("the container has no process in its configuration: use --process")
    process: Process = spec.process
    changed: Process = process.replace(
        args=tuple(arguments),
        env=(*(process.env or ()), *options.get("env", ())),
        cwd=options.get("cwd") or process.cwd,
        terminal=options.get("tty", False),
        noNewPrivileges=options.get("no-new-privs", process.noNewPrivileges),
        user=_user(process.user, options),
        capabilities=_capabilities(process.capabilities, options.get("cap", ())),
        apparmorProfile=options.get("apparmor") or process.apparmorProfile,
        selinuxLabel=options.get("process-label") or process.selinuxLabel,
        consoleSize=None,
    )
    validate_process(changed)
    return changed


def _user(user: User, options: dict[str, Any]) -> User:
    """``--user uid[:gid]``: only numbers, because names belong to whoever wrote the image (CVE-2016-3697)."""
    changes: dict[str, object] = {}
    if options.get("user"):
        uid, colon, gid = options["user"].partition(":")
        changes["uid"] = _id(uid, "uid")
        if colon:
            changes["gid"] = _id(gid, "gid")
    if options.get("additional-gids"):
        added = tuple(_id(gid, "additional gid") for gid in options["additional-gids"])
        changes["additionalGids"] = (*(user.additionalGids or ()), *added)
    return user.replace(**changes)


def _id(text: str, kind: str) -> int:
    # int() refuses more than 4300 digits with an exception of its own
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST_ID):
        raise InvalidArgument(f'bad {kind} "{text[:40]}": use a number from 0 to {_LARGEST_ID}')
    return int(text)


def _capabilities(own: Capabilities | None, added: tuple[str, ...]) -> Capabilities | None:
    """``--cap`` adds to bounding, effective and permitted; to ambient only what is inheritable (CVE-2022-29162)."""
    if not added:
        return own
    own = own or Capabilities()
    inheritable = own.inheritable or ()

    def plus(names: tuple[str, ...] | None, new: tuple[str, ...]) -> tuple[str, ...]:
        return (*(names or ()), *(name for name in new if name not in (names or ())))

    return own.replace(
        bounding=plus(own.bounding, added),
        effective=plus(own.effective, added),
        permitted=plus(own.permitted, added),
        ambient=plus(own.ambient, tuple(name for name in added if name in inheritable)) or None,
    )
