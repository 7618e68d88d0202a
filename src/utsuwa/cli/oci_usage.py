"""Help and version of `urun`: read only when somebody asks."""

from __future__ import annotations

import os
import sys

from utsuwa.cli.interpreter import interpreter

SPEC_VERSION = "1.3.0"

_SUMMARY = {
    "create": ("create a container and leave it waiting for start", "[options] ID"),
    "start": ("run the program of a created container", "ID"),
    "run": ("create and start a container", "[options] ID"),
    "state": ("print the state of a container as JSON", "ID"),
    "kill": ("send a signal (default: TERM) to a container", "[--all] ID [SIGNAL]"),
    "delete": ("remove a container and what belongs to it", "[--force] ID"),
    "exec": ("run another program in a container", "[options] ID COMMAND [ARG...]"),
    "list": ("list the containers of the root", "[options]"),
    "spec": ("write a config.json to begin with", "[options]"),
    "features": ("print what this runtime can do as JSON", ""),
    "explain": ("print every kernel operation that makes a container, or what two differ in", "[options] [--diff A B]"),
    "pause": ("stop all processes of a container", "ID"),
    "resume": ("let the processes of a paused container go on", "ID"),
    "ps": ("list the processes of a container", "[options] ID [ps options]"),
    "events": ("print what a container uses, and when its memory runs out", "[options] ID"),
    "update": ("change the limits of a container", "[options] ID"),
    "checkpoint": ("write the state of a running container to files, with CRIU", "[options] ID"),
    "restore": ("make a container of the files that checkpoint wrote", "[options] ID"),
}

_OPTIONS = {
    "bundle": "directory with config.json (default: the working directory)",
    "console-socket": "AF_UNIX socket that takes the terminal's master descriptor",
    "pidfd-socket": "AF_UNIX socket that takes a pidfd of the new process",
    "pid-file": "file to write the process id to",
    "no-pivot": "use MS_MOVE and chroot instead of pivot_root (for a root on a ramdisk)",
    "no-new-keyring": "keep the caller's session keyring",
    "preserve-fds": "how many descriptors from 3 on to pass to the process",
    "detach": "do not wait for the process",
    "keep": "keep the stopped container",
    "no-subreaper": "do not become the reaper of orphaned processes",
    "all": "signal every process of the container",
    "force": "kill the container first if it is running; succeed if it does not exist",
    "cwd": "working directory",
    "env": "NAME=VALUE, repeatable",
    "tty": "give the process a terminal",
    "user": "UID[:GID]",
    "additional-gids": "supplementary group, repeatable",
    "process": "file with the process as JSON",
    "process-label": "SELinux label",
    "apparmor": "AppArmor profile",
    "no-new-privs": "set no_new_privs",
    "cap": "capability to add, repeatable",
    "cgroup": "cgroup below the container's: [CONTROLLER[,CONTROLLER]:]PATH, repeatable",
    "ignore-paused": "allow it in a paused container",
    "format": "table or json; of explain: text or json",
    "diff": "what the plans of two bundles differ in; exit code 1 if anything, 2 for trouble",
    "interval": "time between two prints of what it uses, as 5s (the default) or 100ms",
    "stats": "print what it uses once",
    "resources": "file with linux.resources as JSON, - for standard input; other options do not count then",
    "blkio-weight": "weight of block I/O, from 10 to 1000",
    "cpu-period": "period of the CPU quota in microseconds",
    "cpu-quota": "CPU time per period in microseconds, -1 for no limit",
    "cpu-burst": "unused quota that may be saved up, in microseconds",
    "cpu-share": "weight of CPU time (default 1024)",
    "cpu-rt-period": "period of the real-time budget in microseconds",
    "cpu-rt-runtime": "real-time budget per period in microseconds",
    "cpuset-cpus": "processors to use, as 0-3,7",
    "cpuset-mems": "memory nodes to use, as 0,1",
    "cpu-idle": "1: run only when nothing else does; 0: take part",
    "memory": "limit of memory in bytes or as 64M, -1 for no limit",
    "memory-reservation": "memory that is kept for it when memory is short",
    "memory-swap": "limit of memory and swap together, -1 for no limit on swap",
    "pids-limit": "how many processes and threads it may have, -1 for no limit",
    "kernel-memory": "accepted, without effect",
    "kernel-memory-tcp": "accepted, without effect",
    "l3-cache-schema": "shares of caches for its class of service, as L3:0=7f0;1=1f",
    "mem-bw-schema": "shares of memory bandwidth for its class of service, as MB:0=20;1=70",
    "quiet": "ids only",
    "image-path": "directory of the image files (default: checkpoint)",
    "work-path": "directory of CRIU's logs and other files (default: that of the images)",
    "parent-path": "images of an earlier pre-dump, relative to --image-path",
    "leave-running": "let the container go on",
    "tcp-established": "allow open TCP connections",
    "tcp-skip-in-flight": "leave out TCP connections that are being made",
    "ext-unix-sk": "allow UNIX sockets with an end outside of the container",
    "shell-job": "allow a process whose session or terminal is outside of the container",
    "lazy-pages": "bring memory after the start, page by page",
    "status-fd": "descriptor that gets a NUL byte when --lazy-pages can be served",
    "page-server": "ADDRESS:PORT to send memory to",
    "file-locks": "allow file locks",
    "pre-dump": "write the memory only, and let the container go on",
    "manage-cgroups-mode": "soft, full, strict or ignore",
    "empty-ns": "namespace to restore without its contents, repeatable: network",
    "auto-dedup": "punch out of the parent's images what is written again",
    "link-remap": "link deleted files back in",
    "lsm-profile": "TYPE:NAME of an LSM profile to restore with",
    "lsm-mount-context": "LSM context to mount with",
    "rootless": "for a user without privileges",
    "root": "directory of the container records (default: /run/urun, or $XDG_RUNTIME_DIR/urun)",
    "log": "file for errors and warnings (default: standard error)",
    "log-format": "text or json",
    "debug": "log every operation of a plan, and what was asked for and could not be had",
    "systemd-cgroup": "have systemd make the cgroup: linux.cgroupsPath is slice:prefix:name then",
    "criu": "accepted and ignored",
    "version": "print the version",
    "help": "print this help",
}


def version() -> int:
    """Print the version as engines parse it: line 1 ``NAME version X``, then commit and spec."""
    from utsuwa import __version__

    _out(f"{called()} version {__version__}\ncommit: {__version__}\nspec: {SPEC_VERSION}\npython: {interpreter()}\n")
    return 0


def called() -> str:
    """The name that we were called by: who is put in the place of runc answers to that name."""
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    return name if name in ("runc", "crun") else "urun"


def show(words: list[str]) -> int:
    """Print the help of a command, or of urun; 1 when there is no such command."""
    if not words:
        _out(_main())
        return 0
    if words[0] not in _SUMMARY:
        os.write(2, f"No help topic for '{words[0]}'\n".encode())
        return 1
    _out(_command(words[0]))
    return 0


def misuse(name: str) -> None:
    """Say that the command was called wrongly, and how it is called."""
    _out("Incorrect Usage.\n\n" + (_command(name) if name in _SUMMARY else ""))


def _main() -> str:
    from utsuwa.cli.oci import _GLOBAL

    commands = "".join(f"   {name:<12}{summary}\n" for name, (summary, _) in _SUMMARY.items())
    return (
        f"NAME:\n   {called()} - Open Container Initiative runtime, part of utsuwa\n\n"
        f"USAGE:\n   {called()} [global options] command [command options] [arguments...]\n\n"
        f"COMMANDS:\n{commands}\nGLOBAL OPTIONS:\n{_options(_GLOBAL)}"
    )


def _command(name: str) -> str:
    from utsuwa.cli.oci import VERBS

    summary, arguments = _SUMMARY[name]
    return (
        f"NAME:\n   {called()} {name} - {summary}\n\nUSAGE:\n   {called()} {name} {arguments}\n\n"
        f"OPTIONS:\n{_options(VERBS[name].options)}"
    )


def _options(options: tuple[str, ...]) -> str:
    lines = []
    for option in options:
        names = option.rstrip("=#*").split("|")
        value = " value" if option[-1] in "=#*" else ""
        spelled = ", ".join(("--" if len(name) > 1 else "-") + name for name in names) + value
        lines.append(f"   {spelled:<30}{_OPTIONS.get(names[0], '')}\n")
    return "".join(lines)


def _out(text: str) -> None:
    os.write(1, text.encode())
