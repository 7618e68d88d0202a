"""What a config.json must satisfy beyond types: the MUSTs of runtime-spec 1.3 for Linux, and more.

The more is what runc refuses too, because the kernel would do so later with a poorer message. Nothing here looks at the
host: whether a path exists, a feature is there or an id may be mapped is found out when the plan is made or run.
"""

from __future__ import annotations

from utsuwa.spec.record import Record, shown
from utsuwa.spec.runtime import Linux
from utsuwa.spec.validate_linux import CHECKS as LINUX_CHECKS
from utsuwa.spec.validate_linux import clean, invalid, is_mapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from utsuwa.spec.runtime import Mount, Process, Spec


def validate(spec: Spec) -> None:
    """Raise InvalidArgument for the first property that must not be so, by its path (``mounts[2].destination: …``)."""
    for check in CHECKS:
        check(spec)
    linux = spec.linux or _NO_LINUX
    for linux_check in LINUX_CHECKS:
        linux_check(linux, spec)


_NO_LINUX = Linux()


def validate_process(process: Process, path: str = "process") -> None:
    """Check a process, also one of ``exec --process``; ``path`` starts the JSON paths of errors."""
    for check in PROCESS_CHECKS:
        check(process, path)


# -- the whole --------------------------------------------------------------------------------------------------------


def check_version(spec: Spec) -> None:
    """``ociVersion`` is a Semantic Version 2.0 with the major number 1."""
    core, _, _ = spec.ociVersion.partition("+")
    core, dash, pre_release = core.partition("-")
    numbers = core.split(".")
    well_formed = len(numbers) == 3 and all(each.isascii() and each.isdigit() for each in numbers)
    if not well_formed or numbers[0] != "1" or (dash and not pre_release):
        invalid("ociVersion", f'expected a version 1.x as "1.3.0", found {shown(spec.ociVersion)}')


def check_strings(spec: Spec) -> None:
    """No string holds a NUL: the kernel would end it there, and see another path than every check did."""
    if _holds_nul(spec):
        for path, text in _strings(spec, ""):
            if "\0" in text:
                invalid(path, f"must not hold a NUL character, found {shown(text)}")


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Record):
        return any(map(_holds_nul, vars(value).values()))
    if isinstance(value, tuple):
        # joined it is looked at in one go: a seccomp profile has hundreds of names
        return "\0" in "".join(value) if value and isinstance(value[0], str) else any(map(_holds_nul, value))
    return isinstance(value, dict) and (any(map(_holds_nul, value)) or any(map(_holds_nul, value.values())))


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Record):
        for name, held in vars(value).items():
            yield from _strings(held, f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        for index, held in enumerate(value):
            yield from _strings(held, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, held in value.items():
            yield f"{path}[{shown(key)}]", key
            yield from _strings(held, f"{path}[{shown(key)}]")


def check_annotations(spec: Spec) -> None:
    """Annotation keys are not empty."""
    if "" in (spec.annotations or ()):
        invalid("annotations", "a key must not be empty")


def check_root(spec: Spec) -> None:
    """A container on Linux has a root file system."""
    if spec.root is None:
        invalid("root", "missing, a container needs a root file system (root.path)")
    if not spec.root.path:
        invalid("root.path", "must not be empty")


def check_hooks(spec: Spec) -> None:
    """Hooks are found by absolute paths and wait for at least a second."""
    for kind, hooks in vars(spec.hooks).items() if spec.hooks is not None else ():
        for index, hook in enumerate(hooks or ()):
            if hook.path[:1] != "/":
                invalid(f"hooks.{kind}[{index}].path", f"must be absolute, found {shown(hook.path)}")
            if hook.timeout is not None and hook.timeout <= 0:
                invalid(f"hooks.{kind}[{index}].timeout", f"must be greater than 0 seconds, found {hook.timeout}")


# -- process ----------------------------------------------------------------------------------------------------------


def check_process(spec: Spec) -> None:
    """If there is a process, it can be run; only `start` requires one."""
    if spec.process is not None:
        validate_process(spec.process)


def check_command(process: Process, path: str) -> None:
    """Something to run, an absolute directory to run it in, and an environment of NAME=value."""
    if not process.args:
        invalid(f"{path}.args", "must not be empty")
    if process.cwd[:1] != "/":
        invalid(f"{path}.cwd", f"must be an absolute path, found {shown(process.cwd)}")
    for index, entry in enumerate(process.env or ()):
        if entry.find("=") < 1:
            invalid(f"{path}.env[{index}]", f"expected NAME=value, found {shown(entry)}")


def check_console(process: Process, path: str) -> None:
    """A terminal has at most 65535 rows and columns; without a terminal its size is ignored."""
    for name, count in vars(process.consoleSize).items() if process.terminal and process.consoleSize else ():
        if count > 0xFFFF:
            invalid(f"{path}.consoleSize.{name}", f"must be from 0 to 65535, found {count}")


_RLIMITS = frozenset(
    f"RLIMIT_{name}"
    for name in (
        "AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE",
        "NICE", "NOFILE", "NPROC", "RSS", "RTPRIO", "RTTIME", "SIGPENDING", "STACK",
    )
)  # fmt: skip


def check_limits(process: Process, path: str) -> None:
    """Known resource limits, each once and soft within hard; an OOM score and a umask in their ranges."""
    seen = set()
    for index, limit in enumerate(process.rlimits or ()):
        where = f"{path}.rlimits[{index}]"
        if limit.type not in _RLIMITS:
            invalid(f"{where}.type", f"expected a limit of getrlimit(2) as RLIMIT_NOFILE, found {shown(limit.type)}")
        if limit.type in seen:
            invalid(f"{where}.type", f"{limit.type} is there already")
        seen.add(limit.type)
        if limit.soft > limit.hard:
            invalid(f"{where}.soft", f"must not be greater than hard, found {limit.soft} > {limit.hard}")
    if process.oomScoreAdj is not None and not -1000 <= process.oomScoreAdj <= 1000:
        invalid(f"{path}.oomScoreAdj", f"must be from -1000 to 1000, found {process.oomScoreAdj}")
    if process.user.umask is not None and process.user.umask > 0o777:
        invalid(f"{path}.user.umask", f"must be from 0 to 511, found {process.user.umask}")


PROCESS_CHECKS: tuple[Callable[[Process, str], None], ...] = (
    check_command,
    check_console,
    check_limits,
)
"""Checks of one process; the second argument is the JSON path it stands at."""


# -- mounts -----------------------------------------------------------------------------------------------------------

_OPPOSITES = "atime dev diratime exec relatime strictatime suid symfollow"
_FLAGS = "async bind defaults dirsync iversion lazytime loud mand rbind remount ro rw silent sync tmpcopyup"
PROPAGATIONS = frozenset(("private", "rprivate", "rshared", "rslave", "runbindable", "shared", "slave", "unbindable"))
"""Mount options that change propagation, by a call of their own."""
FLAG_OPTIONS = frozenset(
    [
        *_FLAGS.split(),
        *("idmap", "noiversion", "nolazytime", "nomand", "ridmap", "rro", "rrw"),
        *(prefix + name for name in _OPPOSITES.split() for prefix in ("", "no", "r", "rno")),
        *PROPAGATIONS,
    ]
)
"""Mount options that runtimes understand themselves (runtime-spec, mounts); others go to the file system."""

_MAY_COVER_IN_PROC = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime",
        "sys/crypto/fips_enabled", "sys/kernel/ns_last_pid",
    )
)  # fmt: skip


def check_mounts(spec: Spec) -> None:
    """Where mounts may go, and which options fit together."""
    for index, mount in enumerate(spec.mounts or ()):
        path = f"mounts[{index}]"
        options = mount.options or ()
        _check_destination(path, mount)
        if mount.uidMappings or mount.gidMappings or "idmap" in options or "ridmap" in options:
            from utsuwa.spec.validate_seldom import check_id_mapped_mount

            check_id_mapped_mount(path, mount, spec)
        if is_bind(mount):
            _check_bind(path, mount)
        else:
            _check_ids_of_options(path, options, spec)
            if mount.type == "bind" and "remount" not in options and PROPAGATIONS.isdisjoint(options):
                invalid(f"{path}.type", "bind is no file system, add the option bind or rbind")


def is_bind(mount: Mount) -> bool:
    """Whether a mount is a bind mount: by its options, whatever its type says (runtime-spec, mounts)."""
    return mount.options is not None and ("bind" in mount.options or "rbind" in mount.options)


def _check_destination(path: str, mount: Mount) -> None:
    target = clean(mount.destination)
    if target == "/":
        invalid(f"{path}.destination", f"can't be the root itself, found {shown(mount.destination)}")
    if target == "/proc":
        # anything else there could show a faked /proc/self to the last steps of starting (CVE-2019-16884)
        fits = clean(mount.source or "/") == "/proc" if is_bind(mount) else mount.type == "proc"
        if not fits:
            invalid(f"{path}.destination", "/proc cannot be mounted because it is not of type proc")
    elif target.startswith("/proc/") and target not in _MAY_COVER_IN_PROC:
        invalid(f"{path}.destination", f"{shown(target)} cannot be mounted because it is inside /proc")


def _check_bind(path: str, mount: Mount) -> None:
    if not mount.source:
        invalid(f"{path}.source", "missing, a bind mount needs it")
    for option in mount.options or ():
        if option not in FLAG_OPTIONS and not _is_parameter(option):
            invalid(
                f"{path}.options",
                f"bind mounts cannot have any filesystem-specific options applied, found {shown(option)}",
            )


def _is_parameter(option: str) -> bool:
    """``mode=755``, a file system's: plan/mounts.py warns of it. The rest may be a misspelt ``ro``, or two flags."""
    name, equals, _ = option.partition("=")
    return bool(equals) and "," not in option and name not in FLAG_OPTIONS


def _check_ids_of_options(path: str, options: tuple[str, ...], spec: Spec) -> None:
    linux = spec.linux or _NO_LINUX
    for option in options:
        name, equals, value = option.partition("=")
        mappings = {"uid": linux.uidMappings, "gid": linux.gidMappings}.get(name) if equals else None
        if mappings and value.isascii() and value.isdigit() and len(value) < 11 and not is_mapped(mappings, int(value)):
            invalid(f"{path}.options", f"{option} is not in linux.{name}Mappings")


CHECKS: tuple[Callable[[Spec], None], ...] = (
    check_version,
    check_strings,
    check_annotations,
    check_root,
    check_process,
    check_hooks,
    check_mounts,
)
"""Checks of the whole document; those of its ``linux`` object follow."""
