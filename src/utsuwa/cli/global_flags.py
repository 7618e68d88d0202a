"""What stands before the verb: ``utsuwa --config DIR pull …``. Flags for a daemon elsewhere are refused by name."""

from __future__ import annotations

import os

from utsuwa.cli.flags import SWITCH, WORD, Arguments, Option, parse
from utsuwa.errors import Error, Unsupported

OPTIONS = (
    Option("config", "", WORD, "Location of client config files (registry credentials)"),
    Option("context", "c", WORD, "Refused: there is no daemon to choose"),
    Option("debug", "D", SWITCH, "Show where an internal error happened"),
    Option("help", "h", SWITCH, "Print usage"),
    Option("host", "H", WORD, "Refused: there is no daemon to connect to"),
    Option("log-level", "l", WORD, 'Set the logging level ("debug" is --debug, "info" changes nothing)'),
    Option("tls", "", SWITCH, "Refused: there is no daemon to connect to"),
    Option("tlscacert", "", WORD, "Refused: there is no daemon to connect to"),
    Option("tlscert", "", WORD, "Refused: there is no daemon to connect to"),
    Option("tlskey", "", WORD, "Refused: there is no daemon to connect to"),
    Option("tlsverify", "", SWITCH, "Refused: there is no daemon to connect to"),
    Option("version", "v", SWITCH, "Print version information and quit"),
)
_REFUSED = ("context", "host", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify")
_LEVELS = ("debug", "info", "warn", "error", "fatal")


def take(words: list[str]) -> list[str]:
    """Act on the flags before the verb; the verb and what follows it. Raises BadUsage, Unsupported."""
    arguments = parse(OPTIONS, words, interspersed=False)
    for name in _REFUSED:
        if name in arguments.given and not (name == "context" and arguments.text(name) == "default"):
            raise Unsupported(f"--{name} is not supported: utsuwa is its own engine, there is no daemon to connect to")
    _set_level(arguments)
    if arguments.text("config"):
        os.environ["DOCKER_CONFIG"] = os.path.abspath(arguments.text("config"))
    if arguments.on("debug"):
        os.environ["UTSUWA_DEBUG"] = "1"
    if arguments.on("version"):
        return ["version"]
    return ["--help"] if arguments.on("help") or not arguments.words else arguments.words


def _set_level(arguments: Arguments) -> None:
    level = arguments.text("log-level")
    if not level:
        return
    if level not in _LEVELS:
        raise Error(f"unable to parse logging level: {level}")
    if level == "debug":
        os.environ["UTSUWA_DEBUG"] = "1"
    elif level != "info":
        raise Unsupported(f"--log-level {level} is not supported: utsuwa logs nothing that could be left out")
