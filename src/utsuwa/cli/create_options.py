"""The options of `run` and `create`, and the request that they amount to."""

from __future__ import annotations

import os

from utsuwa.cli import network_options, seldom_options
from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, Arguments, BadUsage, Option
from utsuwa.errors import InvalidArgument, from_oserror
from utsuwa.spec import flags
from utsuwa.spec.duration import nanoseconds
from utsuwa.spec.healthcheck import Healthcheck
from utsuwa.spec.request import RunRequest, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.spec.request import Restart, Security

OPTIONS = (
    Option("cap-add", "", LIST, "Add Linux capabilities"),
    Option("cap-drop", "", LIST, "Drop Linux capabilities"),
    Option("cidfile", "", WORD, "Write the container ID to the file"),
    Option("cpu-shares", "c", NUMBER, "CPU shares (relative weight)"),
    Option("cpus", "", WORD, "Number of CPUs"),
    Option("cpuset-cpus", "", WORD, "CPUs in which to allow execution (0-3, 0,1)"),
    Option("entrypoint", "", WORD, "Overwrite the default ENTRYPOINT of the image"),
    Option("env", "e", LIST, "Set environment variables"),
    Option("env-file", "", LIST, "Read in a file of environment variables"),
    Option("group-add", "", LIST, "Add additional groups to join"),
    Option("health-cmd", "", WORD, "Command to run to check health"),
    Option("health-interval", "", WORD, "Time between running the check (ms|s|m|h)"),
    Option("health-retries", "", NUMBER, "Consecutive failures needed to report unhealthy"),
    Option("health-start-interval", "", WORD, "Time between running the check during the start period (ms|s|m|h)"),
    Option("health-start-period", "", WORD, "Start period for the container to initialize (ms|s|m|h)"),
    Option("health-timeout", "", WORD, "Maximum time to allow one check to run (ms|s|m|h)"),
    Option("hostname", "h", WORD, "Container host name"),
    Option("init", "", SWITCH, "Run an init inside the container that forwards signals and reaps processes"),
    Option("interactive", "i", SWITCH, "Keep STDIN open even if not attached"),
    Option("label", "l", LIST, "Set meta data on a container"),
    Option("label-file", "", LIST, "Read in a line delimited file of labels"),
    Option("log-driver", "", WORD, "Logging driver for the container (json-file, local, journald, none)", "json-file"),
    Option("log-opt", "", LIST, "Log driver options (max-size, max-file, compress, tag, labels, env …)"),
    Option("memory", "m", WORD, "Memory limit"),
    Option("memory-swap", "", WORD, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    Option("mount", "", LIST, "Attach a filesystem mount to the container"),
    Option("name", "", WORD, "Assign a name to the container"),
    *network_options.OPTIONS,
    Option("no-healthcheck", "", SWITCH, "Disable any container-specified HEALTHCHECK"),
    Option("pids-limit", "", WORD, "Tune container pids limit (set -1 for unlimited)"),
    Option("platform", "", WORD, "Set platform if the image is pulled"),
    Option("privileged", "", SWITCH, "Give extended privileges to this container"),
    Option("pull", "", WORD, "Pull image before running (always, missing, never)", "missing"),
    Option("quiet", "q", SWITCH, "Suppress the pull output"),
    Option("read-only", "", SWITCH, "Mount the container's root filesystem as read only"),
    Option("restart", "", WORD, "Restart policy to apply when a container exits", "no"),
    Option("rm", "", SWITCH, "Remove the container and its anonymous volumes when it exits"),
    Option("runtime", "", WORD, "Runtime to use for this container (urun, crun, runc, runsc, a name, a path)"),
    Option("security-opt", "", LIST, "Security options"),
    Option("stop-signal", "", WORD, "Signal to stop the container"),
    Option("stop-timeout", "", NUMBER, "Timeout (in seconds) to stop a container"),
    Option("tmpfs", "", LIST, "Mount a tmpfs directory"),
    Option("tty", "t", SWITCH, "Allocate a pseudo-TTY"),
    Option("ulimit", "", LIST, "Ulimit options"),
    Option("user", "u", WORD, "Username or UID (format: <name|uid>[:<group|gid>])"),
    Option("volume", "v", LIST, "Bind mount a volume"),
    Option("volumes-from", "", LIST, "Mount volumes from the specified container(s)"),
    Option("workdir", "w", WORD, "Working directory inside the container"),
    *seldom_options.OPTIONS,
)

_HEALTH_TIMES = {
    "Interval": "interval",
    "Timeout": "timeout",
    "StartPeriod": "start-period",
    "StartInterval": "start-interval",
}


def request(arguments: Arguments, detach: bool = False) -> RunRequest:
    """What the options and words ask for. Raises InvalidArgument and Unsupported."""
    given = arguments.text
    return RunRequest(
        image=arguments.words[0],
        command=tuple(arguments.words[1:]),
        entrypoint=_entrypoint(arguments),
        name=given("name") or None,
        hostname=given("hostname") or None,
        env=environment(arguments),
        labels=_labels(arguments),
        workdir=given("workdir") or None,
        user=given("user") or None,
        groups=tuple(arguments.list("group-add")),
        **_mounts(arguments),
        volumes_from=tuple(arguments.list("volumes-from")),
        read_only=arguments.on("read-only"),
        **network_options.wanted(arguments),
        **_limits(arguments),
        runtime=given("runtime"),
        seldom=seldom_options.request(arguments),
        rlimits=tuple(map(flags.parse_ulimit, arguments.list("ulimit"))),
        cap_add=tuple(map(flags.parse_capability, arguments.list("cap-add"))),
        cap_drop=tuple(map(flags.parse_capability, arguments.list("cap-drop"))),
        security=security(arguments),
        privileged=arguments.on("privileged"),
        init=arguments.on("init"),
        tty=arguments.on("tty"),
        stdin_open=arguments.on("interactive"),
        detach=detach,
        auto_remove=arguments.on("rm"),
        restart=_restart(arguments),
        health=_health(arguments),
        stop_signal=given("stop-signal") or None,
        stop_timeout=arguments.number("stop-timeout"),
        logging=flags.parse_logging(given("log-driver"), arguments.list("log-opt")),
    )


def _mounts(arguments: Arguments) -> dict[str, Any]:
    """--volume, --tmpfs and --mount: the last can be either of the others."""
    volumes = [flags.parse_volume(text, os.getcwd()) for text in dict.fromkeys(arguments.list("volume"))]
    tmpfs = list(map(flags.parse_tmpfs, arguments.list("tmpfs")))
    if arguments.list("mount"):
        from utsuwa.spec.mount_flag import parse_mount

        for text in arguments.list("mount"):
            mount = parse_mount(text, os.getcwd())
            (tmpfs if isinstance(mount, Tmpfs) else volumes).append(mount)  # type: ignore[arg-type]
    return {"volumes": tuple(volumes), "tmpfs": tuple(tmpfs)}


def _labels(arguments: Arguments) -> dict[str, str] | None:
    texts = seldom_options.labels(arguments) if arguments.list("label-file") else arguments.list("label")
    return flags.parse_labels(texts) or None


def _entrypoint(arguments: Arguments) -> tuple[str, ...] | None:
    """``--entrypoint ""`` takes the image's away, which is not the same as leaving the option out."""
    if "entrypoint" not in arguments.given:
        return None
    text = arguments.text("entrypoint")
    return (text,) if text else ()


def security(arguments: Arguments) -> Security:
    """What --security-opt says, with the text of a seccomp profile in the place of its path."""
    security = flags.parse_security(arguments.list("security-opt"))
    path = security.seccomp
    if path in (None, "unconfined"):
        return security
    try:
        with open(path, encoding="utf-8") as file:
            return security.replace(seccomp=file.read())
    except OSError as error:
        raise from_oserror(error, f"opening seccomp profile ({path}) failed") from error
    except UnicodeDecodeError:
        raise InvalidArgument(f"seccomp profile {path}: is not UTF-8") from None


def _restart(arguments: Arguments) -> Restart:
    restart = flags.parse_restart(arguments.text("restart"))
    if restart.name != "no" and arguments.on("rm"):
        raise BadUsage("conflicting options: cannot specify both --restart and --rm")
    return restart


def _health(arguments: Arguments) -> Healthcheck | None:
    """What --health-… change of the image's healthcheck; None for nothing."""
    asked = [name for name in arguments.given if name.startswith("health-")]
    if arguments.on("no-healthcheck"):
        if asked:
            raise BadUsage("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(Test=("NONE",))
    if not asked:
        return None
    times = {
        field: nanoseconds(arguments.text(f"health-{name}"))
        for field, name in _HEALTH_TIMES.items()
        if arguments.text(f"health-{name}")
    }
    command, retries = arguments.text("health-cmd"), arguments.number("health-retries")
    return Healthcheck(Test=("CMD-SHELL", command) if command else None, Retries=retries, **times)


def _limits(arguments: Arguments) -> dict[str, Any]:
    given = arguments.text
    return {
        "memory": flags.parse_bytes(given("memory")) if given("memory") else None,
        "memory_swap": flags.parse_memory_swap(given("memory-swap")) if given("memory-swap") else None,
        "nano_cpus": flags.parse_cpus(given("cpus")) if given("cpus") else None,
        "cpu_shares": arguments.number("cpu-shares"),
        "cpuset_cpus": given("cpuset-cpus") or None,
        "pids_limit": flags.parse_integer(given("pids-limit"), "pids-limit") if given("pids-limit") else None,
    }


def environment(arguments: Arguments) -> tuple[str, ...]:
    """Of the files first, then of the options; a bare NAME takes our own value, or nothing."""
    found: list[str] = []
    for path in arguments.list("env-file"):
        try:
            with open(path, "rb", buffering=0) as file:
                found += flags.parse_env_file(file.read(), os.environ, path)
        except OSError as error:
            raise from_oserror(error, path) from error
    for text in arguments.list("env"):
        variable = flags.parse_env(text, os.environ)
        if variable is not None:
            found.append(variable)
    return tuple(found)
