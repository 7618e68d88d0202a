"""The `utsuwa` command: finds the verb, and turns every end of it into one line and an exit code."""

from __future__ import annotations

import os
import sys

from utsuwa.cli import output
from utsuwa.cli.flags import BadUsage, operands
from utsuwa.cli.signals import begin_interrupts
from utsuwa.errors import Error, printable

VERBS = {
    "attach": "Attach local standard input, output, and error streams to a running container",
    "build": "Build an image from a Dockerfile",
    "builder": "Manage builds",
    "buildx": "Manage builds, by the name of Docker's newer builder",
    "commit": "Create a new image from a container's changes",
    "completion": "Generate the autocompletion script for the specified shell",
    "container": "Manage containers",
    "cp": "Copy files/folders between a container and the local filesystem",
    "create": "Create a new container",
    "diff": "Inspect changes to files or directories on a container's filesystem",
    "events": "Get real time events from the engine",
    "exec": "Execute a command in a running container",
    "export": "Export a container's filesystem as a tar archive",
    "history": "Show the history of an image",
    "image": "Manage images",
    "images": "List images",
    "import": "Import the contents from a tarball to create a filesystem image",
    "info": "Display system-wide information",
    "inspect": "Return low-level information on containers and images",
    "kill": "Kill one or more running containers",
    "load": "Load an image from a tar archive or STDIN",
    "login": "Authenticate to a registry",
    "logout": "Log out from a registry",
    "logs": "Fetch the logs of a container",
    "manifest": "Manage Docker image manifests and manifest lists",
    "network": "Manage networks",
    "pause": "Pause all processes within one or more containers",
    "port": "List port mappings or a specific mapping for the container",
    "ps": "List containers",
    "pull": "Download an image from a registry",
    "push": "Upload an image to a registry",
    "recover": "Start containers again whose restart policy asks for it, after a reboot or a crash",
    "rename": "Rename a container",
    "restart": "Restart one or more containers",
    "rm": "Remove one or more containers",
    "rmi": "Remove one or more images",
    "run": "Create and run a new container from an image",
    "save": "Save one or more images to a tar archive (streamed to STDOUT by default)",
    "search": "Search Docker Hub for images",
    "start": "Start one or more stopped containers",
    "stats": "Display a live stream of container(s) resource usage statistics",
    "stop": "Stop one or more running containers",
    "system": "Manage the engine",
    "tag": "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "top": "Display the running processes of a container",
    "unpause": "Unpause all processes within one or more containers",
    "update": "Update configuration of one or more containers",
    "version": "Show the version information",
    "volume": "Manage volumes",
    "wait": "Block until one or more containers stop, then print their exit codes",
}
"""Verb -> what it is for; each is a module of its name in this package, with ``run(words) -> exit code``."""

FAILURE, INTERRUPTED = 1, 130


def main(words: list[str] | None = None) -> int:
    """Run one command line; the exit code. Never a traceback (but with UTSUWA_DEBUG set)."""
    words = sys.argv[1:] if words is None else words
    verb = "--help"
    try:
        output.hold_standard_streams()
        os.umask(0o022)  # what is made is for all users of a container; who else gets there, engine.enclosure says
        begin_interrupts()
        if words and words[0].startswith("-"):
            from utsuwa.cli.global_flags import take

            words = take(words)
        verb, *rest = words or ["--help"]
        return _dispatch(verb, rest)
    except BadUsage as error:
        return _complain(f"{error}\n\n{_usage(verb, error)}", error.exit_code)
    except Error as error:
        return _complain(str(error), getattr(error, "exit_code", FAILURE))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        output.give_up()
        return FAILURE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{(error.strerror or str(error)).lower()}", FAILURE)
    except Exception as error:  # our own fault, told in one line
        if os.environ.get("UTSUWA_DEBUG"):
            raise
        return _complain(f"internal error: {type(error).__name__}: {error} (UTSUWA_DEBUG=1 shows where)", FAILURE)


def _dispatch(verb: str, words: list[str]) -> int:
    if verb == "help" and words:
        verb, *words = (*words, "--help")
    if verb in ("--help", "help"):
        print(overview())
        return 0
    if verb not in VERBS:
        error = BadUsage(f"unknown command: utsuwa {verb}")
        error.exit_code = FAILURE
        raise error
    module = __import__(f"utsuwa.cli.{verb}", fromlist=("run",))
    code: int = module.run(words)
    output.flush()
    return code


def _usage(verb: str, error: BadUsage) -> str:
    """What is said after a complaint about the command line; a verb of a group has its own usage with it."""
    module = sys.modules.get(f"utsuwa.cli.{verb}") if verb in VERBS else None
    if module is None:
        return "Run 'utsuwa --help' for more information"
    usage: str = getattr(error, "usage", module.VERB.usage)
    called = usage.removesuffix(operands(usage)).rstrip()
    return f"Usage:  utsuwa {usage}\n\nRun 'utsuwa {called} --help' for more information"


def overview() -> str:
    """What `utsuwa --help` prints."""
    width = max(map(len, VERBS)) + 3
    rows = [f"  {verb:{width}}{purpose}" for verb, purpose in VERBS.items()]
    return "\n".join(["Usage:  utsuwa COMMAND", "", "A container engine without a daemon", "", "Commands:", *rows])


def _complain(message: str, code: int) -> int:
    try:
        output.flush()
    except (Error, OSError, ValueError):
        output.give_up()
    try:
        sys.stderr.write(f"utsuwa: {printable(message)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    return code


if __name__ == "__main__":
    sys.exit(main())
