"""`urun`: the command line of an OCI runtime, as containerd, podman, CRI-O and people who know runc call it.

Nothing here is imported before a verb needs it: this file is read on every start.
"""

from __future__ import annotations

import gc
import os
import sys

from utsuwa.cli.arguments import Values, parse, quoted, table
from utsuwa.errors import Error, InvalidArgument
from utsuwa.runtime.record import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.draft import CreateRequest

NAME = "urun"
_HELP = "help|h"
_GLOBAL = ("root=", "log=", "log-format=", "debug", "systemd-cgroup", "rootless=", "criu=", "version|v", _HELP)
_CREATE = (
    *("bundle|b=", "console-socket=", "pidfd-socket=", "pid-file=", "no-pivot", "no-new-keyring", "preserve-fds#"),
    _HELP,
)
_EXEC = (
    *("console-socket=", "pidfd-socket=", "cwd=", "env|e*", "tty|t", "user|u=", "additional-gids|g*", "process|p="),
    *("detach|d", "pid-file=", "process-label=", "apparmor=", "no-new-privs", "cap|c*", "preserve-fds#", "cgroup*"),
    *("ignore-paused", _HELP),
)

_UPDATE = (
    *("resources|r=", "blkio-weight=", "cpu-period=", "cpu-quota=", "cpu-burst=", "cpu-share=", "cpu-rt-period="),
    *("cpu-rt-runtime=", "cpuset-cpus=", "cpuset-mems=", "cpu-idle=", "memory=", "memory-reservation="),
    *("memory-swap=", "pids-limit=", "kernel-memory=", "kernel-memory-tcp=", "l3-cache-schema=", "mem-bw-schema="),
    _HELP,
)
_CRIU = (
    *("image-path=", "work-path=", "tcp-established", "ext-unix-sk", "shell-job", "lazy-pages", "file-locks"),
    *("manage-cgroups-mode=", "empty-ns*", "auto-dedup", _HELP),
)
_CHECKPOINT = (
    *("parent-path=", "leave-running", "tcp-skip-in-flight", "link-remap", "status-fd#", "page-server=", "pre-dump"),
    *_CRIU,
)
_RESTORE = (
    *("bundle|b=", "console-socket=", "pid-file=", "detach|d", "no-subreaper", "no-pivot", "lsm-profile="),
    *("lsm-mount-context=", *_CRIU),
)
_FAILED = {"exec": 255, "explain": 2}


class Call:
    """One verb's call: the containers, the words, and the warnings for the log."""

    def __init__(self, store: Store, options: Values, words: list[str], default_root: bool) -> None:
        self.store = store
        self.options: Any = options
        self.words = words
        self.default_root = default_root
        self.debug: Callable[[Plan], None] | None = None
        self.systemd_cgroup = False
        self.json_log = False
        self.warnings: list[str] = []


class Verb:
    """How a command is called, and what does it: counts of positionals, its options, whether options may follow."""

    __slots__ = ("interspersed", "maximum", "minimum", "options", "run")

    def __init__(
        self, run: Callable[[Call], int], minimum: int, maximum: int | None, *options: str, interspersed: bool = True
    ) -> None:
        self.run = run
        self.minimum = minimum
        self.maximum = maximum
        self.options = options
        self.interspersed = interspersed


def main(words: list[str] | None = None) -> NoReturn:
    """Run a command line and end the process with its exit code, without the interpreter's own tear-down."""
    gc.disable()  # 5 ms of life make no garbage worth collecting
    code = invoke(sys.argv[1:] if words is None else words)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def invoke(words: list[str]) -> int:
    """Run a command line: ``urun [global options] command [options] [arguments]``; its exit code."""
    settings: Values = {}
    try:
        settings, rest = parse(table(*_GLOBAL), words, interspersed=False)
        if settings.get("version"):
            return _version()
        if settings.get("help") or not rest or rest[0] in ("help", "h"):
            return _help(rest[1:] if not settings.get("help") else [])
        return _dispatch(settings, rest[0], rest[1:])
    except Error as error:
        return _fail(settings, error, 1)


def _dispatch(settings: Values, name: str, words: list[str]) -> int:
    verb = VERBS.get(name)
    if verb is None:
        return _help([name])
    try:
        options, positionals = parse(table(*verb.options), words, verb.interspersed)
        if not options.get("help"):
            _check_count(name, verb, len(positionals))
    except InvalidArgument as error:
        from utsuwa.cli.oci_usage import misuse

        misuse(name)
        return _fail(settings, error, 1)
    if options.get("help"):
        return _help([name])
    _check_settings(settings)
    root, is_default = _root(settings)
    call = Call(Store(root), options, positionals, is_default)
    call.systemd_cgroup = bool(settings.get("systemd-cgroup"))
    call.json_log = settings.get("log-format") == "json"
    if settings.get("debug"):
        from utsuwa.cli.oci_debug import log_of

        call.debug = log_of(settings)
    try:
        code = verb.run(call)
    except Error as error:
        return _fail(settings, error, _FAILED.get(name, 1), name)
    except OSError as error:
        return _fail(settings, _kernel_said(error), _FAILED.get(name, 1))
    if call.warnings:
        from utsuwa.cli.oci_report import warn

        warn(settings, call.warnings)
    return code


def _check_count(name: str, verb: Verb, count: int) -> None:
    if verb.minimum == verb.maximum and count != verb.minimum:
        raise InvalidArgument(f"{NAME}: {quoted(name)} requires exactly {verb.minimum} argument(s)")
    if count < verb.minimum:
        raise InvalidArgument(f"{NAME}: {quoted(name)} requires a minimum of {verb.minimum} argument(s)")
    if verb.maximum is not None and count > verb.maximum:
        raise InvalidArgument(f"{NAME}: {quoted(name)} requires a maximum of {verb.maximum} argument(s)")


def _check_settings(settings: Values) -> None:
    log_format = settings.get("log-format", "text")
    if log_format not in ("text", "json"):
        raise InvalidArgument(f"invalid log-format: {log_format}")
    if settings.get("rootless", "auto") not in ("auto", "true", "false", "1", "0"):
        raise InvalidArgument(
            f"invalid value {quoted(str(settings['rootless']))} for --rootless: use true, false or auto"
        )


def _root(settings: Values) -> tuple[str, bool]:
    """The absolute --root, and whether it is the default one."""
    given = str(settings.get("root") or "")
    if given:
        root = os.path.realpath(given)
        if root == "/":
            raise InvalidArgument(f"--root {given} is the root directory: name one for urun alone")
        return root, False
    runtime_directory = os.environ.get("XDG_RUNTIME_DIR")
    if runtime_directory and os.geteuid() != 0:
        return f"{runtime_directory}/{NAME}", True
    return f"/run/{NAME}", True


def _kernel_said(error: OSError) -> Error:
    from utsuwa.errors import from_oserror

    return from_oserror(error, str(error.filename) if error.filename else NAME)


def _fail(settings: Values, error: Error, code: int, verb: str = "") -> int:
    from utsuwa.cli.oci_report import fail, worded

    # What execve(2) says of a program is printed as it is, like a shell's word on it: callers compare the whole line.
    operation = type(getattr(error, "op", None)).__name__
    fail(settings, worded(str(error), operation, verb), "" if operation == "Exec" else "urun: ")
    signal = getattr(error, "number", 0)  # of undo.Interrupted; importing that to ask costs 0.2 ms
    return 128 + signal if signal else code


def _help(words: list[str]) -> int:
    from utsuwa.cli.oci_usage import show

    return show(words)


def _version() -> int:
    from utsuwa.cli.oci_usage import version

    return version()


def _print(text: str) -> None:
    """Write to standard output by descriptor: sys.stdout's layers cost more than the text."""
    data = memoryview(text.encode())
    while data:
        data = data[os.write(1, data) :]


# --- verbs ----------------------------------------------------------------------------------------------------------


def _request(call: Call) -> tuple[CreateRequest, Any]:
    """What create and run have in common, and the console socket, to be kept until the child has its copy."""
    from utsuwa.runtime.draft import CreateRequest
    from utsuwa.runtime.undo import raise_on_signals

    raise_on_signals()
    options = call.options
    console = None
    if options.get("console-socket"):
        from utsuwa.runtime.console import connect

        console = connect(options["console-socket"])
    listen_fds = os.environ.get("LISTEN_FDS", "")
    return (
        CreateRequest(
            id=call.words[0],
            bundle=options.get("bundle", ""),
            console=console.fileno() if console else -1,
            pid_file=options.get("pid-file", ""),
            pidfd_socket=options.get("pidfd-socket", ""),
            no_pivot=options.get("no-pivot", False),
            no_new_keyring=options.get("no-new-keyring", False),
            systemd_cgroup=call.systemd_cgroup,
            preserve_fds=options.get("preserve-fds", 0),
            debug=call.debug,
            notify=os.environ.get("NOTIFY_SOCKET", ""),
            listen_fds=int(listen_fds) if listen_fds.isascii() and listen_fds.isdigit() and len(listen_fds) < 6 else 0,
        ),
        console,
    )


def _create(call: Call) -> int:
    from utsuwa.runtime.create import create

    request, _console = _request(call)
    container = create(call.store, request)
    if call.debug or not call.json_log:  # podman reads it as one object: there must not be two if something fails later
        call.warnings = container.warnings
    return 0


def _run(call: Call) -> int:
    from utsuwa.runtime.run import run

    request, _console = _request(call)
    options = call.options
    code, call.warnings = run(
        call.store,
        request,
        detach=options.get("detach", False),
        keep=options.get("keep", False),
        subreaper=not options.get("no-subreaper", False),
    )
    return code


def _start(call: Call) -> int:
    from utsuwa.runtime.start import start

    call.warnings = start(call.store, call.words[0], notify=os.environ.get("NOTIFY_SOCKET", ""))
    return 0


def _state(call: Call) -> int:
    from utsuwa.runtime.state import state

    document = state(call.store, call.words[0])
    from utsuwa.spec.codec import dumps  # not before: most often it is asked whether there is such a container

    _print(dumps(document, indent=2) + "\n")
    return 0


def _kill(call: Call) -> int:
    from utsuwa.runtime.kill import kill
    from utsuwa.runtime.process import signal_number

    number = signal_number(call.words[1] if len(call.words) > 1 else "TERM")
    kill(call.store, call.words[0], number, everyone=call.options.get("all", False))
    return 0


def _delete(call: Call) -> int:
    from utsuwa.runtime.delete import delete

    call.warnings = delete(call.store, call.words[0], force=call.options.get("force", False))
    return 0


def _exec(call: Call) -> int:
    from utsuwa.cli.oci_exec import request
    from utsuwa.runtime.exec import execute

    wanted, _console = request(call.store, call.options, call.words)
    return execute(call.store, wanted.replace(debug=call.debug) if call.debug else wanted)


def _list(call: Call) -> int:
    from utsuwa.runtime.list import columns, containers

    if not call.default_root and not os.path.isdir(call.store.root):
        from utsuwa.errors import NotFound

        raise NotFound(f"open {call.store.root}: no such file or directory")
    form = _format(call)
    found, problems = containers(call.store)
    for problem in problems:
        os.write(2, f"{problem}\n".encode())
    if call.options.get("quiet"):
        _print("".join(f"{container['id']}\n" for container in found))
    elif form == "json":
        from utsuwa.spec.codec import dumps

        _print(dumps(found or None) + "\n")
    else:
        _print(columns(found))
    return 0


def _spec(call: Call) -> int:
    from utsuwa.runtime.spec import write_spec

    write_spec(call.options.get("bundle", ""), rootless=call.options.get("rootless", False))
    return 0


def _features(_call: Call) -> int:
    from utsuwa.runtime.features import features
    from utsuwa.spec.codec import dumps

    _print(dumps(features(), indent=4) + "\n")
    return 0


def _explain(call: Call) -> int:
    from utsuwa.cli.oci_explain import explain

    text, code = explain(call.options, call.words, call.systemd_cgroup)
    _print(text)
    return code


def _pause(call: Call) -> int:
    from utsuwa.runtime.pause import pause

    pause(call.store, call.words[0])
    return 0


def _resume(call: Call) -> int:
    from utsuwa.runtime.pause import resume

    resume(call.store, call.words[0])
    return 0


def _ps(call: Call) -> int:
    from utsuwa.runtime.ps import processes, table

    found = processes(call.store, call.words[0])
    if _format(call) == "json":
        from utsuwa.spec.codec import dumps

        _print(dumps(found) + "\n")
    else:
        _print(table(found, call.words[1:]))
    return 0


def _update(call: Call) -> int:
    from utsuwa.cli.oci_update import resources, schemata
    from utsuwa.runtime.update import update

    wanted, call.warnings = resources(call.options)
    update(call.store, call.words[0], wanted, schemata(call.options))
    return 0


def _events(call: Call) -> int:
    from utsuwa.cli.oci_durations import seconds
    from utsuwa.runtime.events import events, stats
    from utsuwa.spec.codec import dumps

    interval = seconds(call.options.get("interval", "5s"))
    found = [stats(call.store, call.words[0])] if call.options.get("stats") else None
    for event in found or events(call.store, call.words[0], interval):
        _print(dumps(event) + "\n")
    return 0


def _checkpoint(call: Call) -> int:
    from utsuwa.cli.oci_criu import checkpoint_request
    from utsuwa.runtime.checkpoint import checkpoint

    call.warnings = checkpoint(call.store, call.words[0], checkpoint_request(call.options))
    return 0


def _restore(call: Call) -> int:
    from utsuwa.cli.oci_criu import restore_request
    from utsuwa.runtime.restore import restore

    request, _console = _request(call)
    options = call.options
    code, call.warnings = restore(
        call.store,
        request,
        restore_request(options),
        detach=options.get("detach", False),
        subreaper=not options.get("no-subreaper", False),
    )
    return code


def _format(call: Call) -> str:
    form = call.options.get("format", "table")
    if form not in ("table", "json"):
        raise InvalidArgument(f"invalid format option {quoted(form)}: use table or json")
    return str(form)


VERBS = {
    "create": Verb(_create, 1, 1, *_CREATE),
    "start": Verb(_start, 1, 1, _HELP),
    "run": Verb(_run, 1, 1, *_CREATE, "detach|d", "keep", "no-subreaper"),
    "state": Verb(_state, 1, 1, _HELP),
    "kill": Verb(_kill, 1, 2, "all|a", _HELP, interspersed=False),
    "delete": Verb(_delete, 1, 1, "force|f", _HELP),
    "exec": Verb(_exec, 1, None, *_EXEC, interspersed=False),
    "list": Verb(_list, 0, 0, "format|f=", "quiet|q", _HELP),
    "spec": Verb(_spec, 0, 0, "bundle|b=", "rootless", _HELP),
    "features": Verb(_features, 0, 0, _HELP),
    "explain": Verb(_explain, 0, 2, "bundle|b=", "diff", "format|f=", _HELP),
    "pause": Verb(_pause, 1, 1, _HELP),
    "resume": Verb(_resume, 1, 1, _HELP),
    "ps": Verb(_ps, 1, None, "format|f=", _HELP, interspersed=False),
    "events": Verb(_events, 1, 1, "interval=", "stats", _HELP),
    "update": Verb(_update, 1, 1, *_UPDATE),
    "checkpoint": Verb(_checkpoint, 1, 1, *_CHECKPOINT),
    "restore": Verb(_restore, 1, 1, *_RESTORE),
}
