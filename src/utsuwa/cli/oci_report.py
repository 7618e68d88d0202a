"""What `urun` says when something went wrong: to the log in the form that its callers parse, and to people."""

from __future__ import annotations

import os
import time

from utsuwa.cli.arguments import Values, quoted
from utsuwa.errors import printable


def fail(settings: Values, message: str, speaker: str = "urun: ") -> None:
    """Report the error that ends the command: one line in --log, and in plain words on standard error.

    ``speaker``: who says so there.
    podman reads the whole log as one JSON object, containerd takes the last object of level "error".
    """
    if settings.get("log"):
        _log(settings, "error", message)
        _write(2, f"{printable(message)}\n")
    elif settings.get("log-format") == "json":
        _write(2, _line(settings, "error", message))
    else:
        _write(2, f"{speaker}{printable(message)}\n")


def worded(message: str, operation: str, verb: str) -> str:
    """``message`` about a failed ``operation`` of a plan ("NoneType": none), as who is called by runc's name says it.

    Callers search runc's messages for the part of the work that failed, and for what was mounted.
    """
    if operation in ("NoneType", "Exec"):
        return message
    from utsuwa.cli.oci_usage import called

    name = called()
    if name == "urun":
        return message
    what = "error mounting: " if operation in ("Mount", "Bind", "Remount") else ""
    return f"{name} {verb} failed: unable to start container process: error during container init: {what}{message}"


def warn(settings: Values, messages: list[str]) -> None:
    """Report what went wrong without failing the command: in --log only, or else on standard error."""
    for message in messages:
        if settings.get("log"):
            _log(settings, "warning", message)
        elif settings.get("log-format") == "json":
            _write(2, _line(settings, "warning", message))
        else:
            _write(2, f"urun: warning: {printable(message)}\n")


def debug(settings: Values, message: str) -> None:
    """Report what --debug asks for: to --log, or else as a log line on standard error."""
    if settings.get("log"):
        _log(settings, "debug", message)
    else:
        _write(2, _line(settings, "debug", message))


def _log(settings: Values, level: str, message: str) -> None:
    path = str(settings["log"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        _write(2, f"urun: open log {path}: {(error.strerror or '').lower()}\n")
        return
    try:
        _write(descriptor, _line(settings, level, message))
    finally:
        os.close(descriptor)


def _line(settings: Values, level: str, message: str) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if settings.get("log-format") == "json":
        from utsuwa.spec.codec import dumps

        return dumps({"level": level, "msg": message, "time": moment}) + "\n"
    return f'time="{moment}" level={level} msg={quoted(message)}\n'.replace("\n", " ").rstrip() + "\n"


def _write(descriptor: int, text: str) -> None:
    try:
        os.write(descriptor, text.encode(errors="surrogateescape"))
    except OSError:
        pass  # nobody listens
