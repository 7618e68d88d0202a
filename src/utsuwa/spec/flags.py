"""Docker's ways to write a value on the command line (``512m``, ``/src:/dst:ro``, ``nofile=1024:2048``), parsed."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.identifiers import check_name
from utsuwa.spec.request import Logging, Restart, Security, Tmpfs, Volume
from utsuwa.spec.runtime import Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_bytes(text: str, flag: str = "memory") -> int:
    """Bytes of a size as ``512m``, ``1.5g``, ``64KiB`` or ``1024``; units are powers of 1024, in either case."""
    digits = text.strip().lower()
    number = digits.rstrip("abcdefghijklmnopqrstuvwxyz").rstrip()
    unit = digits[len(number) :].strip()
    if unit != "b":
        unit = unit.removesuffix("ib") if unit.endswith("ib") else unit.removesuffix("b")
    whole, point, fraction = number.partition(".")
    well_formed = _is_decimal(whole) and (not point or _is_decimal(fraction)) and len(number) <= 30
    if unit not in _UNITS or not well_formed:
        raise InvalidArgument(f"{flag}: expected a size as 512m or 1.5g, found {text!r}")
    scale = 10 ** len(fraction)
    size: int = (int(whole) * scale + int(fraction or "0")) * _UNITS[unit] // scale
    if size >= 1 << 63:
        raise InvalidArgument(f"{flag}: {text} is more than any machine has")
    return size


def parse_memory_swap(text: str) -> int:
    """Bytes of memory and swap together, or -1 for unlimited swap."""
    return -1 if text.strip() == "-1" else parse_bytes(text, "memory-swap")


def parse_cpus(text: str) -> int:
    """Billionths of a CPU of a decimal as ``0.5`` or ``2``."""
    whole, point, fraction = text.strip().partition(".")
    well_formed = (_is_decimal(whole) or (not whole and fraction)) and (not point or _is_decimal(fraction))
    if not well_formed or len(whole) > 6 or len(fraction.rstrip("0")) > 9:
        raise InvalidArgument(f"cpus: expected a number of CPUs as 0.5 or 2, found {text!r}")
    return int(whole or "0") * 10**9 + int(fraction.rstrip("0").ljust(9, "0"))


def parse_integer(text: str, flag: str, low: int = -1) -> int:
    """A decimal integer of at least ``low``, for ``--pids-limit`` and the like."""
    digits = text.strip()
    if not _is_decimal(digits.removeprefix("-")) or len(digits) > 19 or int(digits) < low:
        raise InvalidArgument(f"{flag}: expected an integer of at least {low}, found {text!r}")
    return int(digits)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


# -- volumes ----------------------------------------------------------------------------------------------------------

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_NO_MEANING_ON_LINUX = ("consistent", "cached", "delegated", "default")


def parse_volume(text: str, cwd: str = "/") -> Volume:
    """``[SOURCE:]TARGET[:OPTIONS]`` of ``-v``: a path binds, a name is a volume, no source an anonymous volume.

    A source that begins with ``.`` counts from ``cwd``, which must be absolute.
    """
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(f"volume: expected [SOURCE:]TARGET[:OPTIONS], found {text!r}")
    source, target = (None, parts[0]) if len(parts) == 1 else parts[:2]
    check_target(target, text, "volume")
    if source is not None and source[0] == ".":
        source = f"{cwd.rstrip('/')}/{source}"
    if source is None or source[0] != "/":
        if source is not None:
            check_name(source, "volume")
        volume = Volume(kind="volume", source=source, target=target)
    else:
        volume = Volume(kind="bind", source=source, target=target)
    for option in parts[2].split(",") if len(parts) == 3 else ():
        volume = volume.replace(**_volume_option(option, volume, text))
    return volume


def _volume_option(option: str, volume: Volume, text: str) -> dict[str, object]:
    if option in ("ro", "rw"):
        return {"read_only": option == "ro"}
    if option in ("z", "Z"):
        return {"relabel": option}
    if option in _NO_MEANING_ON_LINUX:
        return {}
    if volume.kind == "bind" and option in _PROPAGATIONS:
        return {"propagation": option}
    if volume.kind == "bind" and option in ("bind", "rbind"):
        return {"recursive": option == "rbind"}
    if volume.kind == "volume" and option == "nocopy":
        return {"copy": False}
    raise InvalidArgument(f"volume {text!r}: a {volume.kind} has no option {option!r}")


def check_target(target: str, text: str, flag: str) -> None:
    """Raise InvalidArgument unless something can be mounted at ``target`` of a container."""
    if target[:1] != "/":
        raise InvalidArgument(f"{flag} {text!r}: the path in the container must be absolute, found {target!r}")
    if not target.replace("/.", "").strip("/"):
        raise InvalidArgument(f"{flag} {text!r}: the path in the container can't be the root")
    if "\0" in text:
        raise InvalidArgument(f"{flag} {text!r} must not hold a NUL character")


_TMPFS_FLAGS = frozenset(
    f"{prefix}{name}"
    for name in ("atime", "dev", "diratime", "exec", "relatime", "strictatime", "suid")
    for prefix in ("", "no")
).union(("ro", "rw", "sync", "async", "dirsync"), _PROPAGATIONS)
_TMPFS_VALUES = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"))


def parse_tmpfs(text: str) -> Tmpfs:
    """``TARGET[:OPTIONS]`` of ``--tmpfs``; without options it is nosuid, nodev and noexec, as Docker's."""
    target, _, options = text.partition(":")
    check_target(target, text, "tmpfs")
    chosen = tuple(option for option in options.split(",") if option)
    for option in chosen:
        name, equals, value = option.partition("=")
        if not (name in _TMPFS_VALUES and value) if equals else option not in _TMPFS_FLAGS:
            raise InvalidArgument(f"tmpfs {text!r}: there is no option {option!r}")
    return Tmpfs(target=target, options=("nosuid", "nodev", "noexec", *chosen))


# -- environment, labels, user ----------------------------------------------------------------------------------------


def parse_env(text: str, environ: Mapping[str, str]) -> str | None:
    """``NAME=value`` as it is; a bare ``NAME`` takes its value from ``environ``, and is None when that has none."""
    name, equals, _ = text.partition("=")
    if not name:
        raise InvalidArgument(f"env: expected NAME or NAME=value, found {text!r}")
    if "\0" in text:
        raise InvalidArgument(f"env {name!r} must not hold a NUL character")
    if equals:
        return text
    return f"{name}={environ[name]}" if name in environ else None


def parse_env_file(data: bytes, environ: Mapping[str, str], path: str = "env-file") -> tuple[str, ...]:
    """Variables of an ``--env-file``: one a line, ``#`` begins a comment line, quotes mean nothing, as in Docker."""
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path}: is not UTF-8") from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.removesuffix("\r").lstrip(" \t")
        if not entry or entry[0] == "#":
            continue
        name = entry.partition("=")[0]
        if not name or any(character.isspace() for character in name):
            raise InvalidArgument(f"{path}: line {number}: expected NAME=value, found {entry!r}")
        variable = parse_env(entry, environ)
        if variable is not None:
            found.append(variable)
    return tuple(found)


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Labels ``key=value``; a bare key has the value "", and what comes later counts."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key.strip():
            raise InvalidArgument(f"label: expected KEY or KEY=value, found {text!r}")
        found[key] = value
    return found


# -- limits, capabilities, security, logs -----------------------------------------------------------------------------

_ULIMIT_NAMES = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
_ULIMITS = _ULIMIT_NAMES.split()
_UNLIMITED = 0xFFFF_FFFF_FFFF_FFFF


def parse_ulimit(text: str) -> Rlimit:
    """A resource limit as ``nofile=1024:2048`` (soft, hard) or ``core=0`` (both); -1 or ``unlimited`` is no limit."""
    name, equals, limits = text.partition("=")
    if name not in _ULIMITS:
        raise InvalidArgument(f"ulimit {text!r}: expected one of {', '.join(_ULIMITS)}, found {name!r}")
    soft_text, colon, hard_text = limits.partition(":")
    if not equals or not soft_text or (colon and not hard_text):
        raise InvalidArgument(f"ulimit {text!r}: expected NAME=SOFT[:HARD]")
    soft = _limit(soft_text, text)
    hard = _limit(hard_text, text) if colon else soft
    if soft > hard:
        raise InvalidArgument(f"ulimit {text!r}: the soft limit must not be greater than the hard one")
    return Rlimit(type=f"RLIMIT_{name.upper()}", soft=soft, hard=hard)


def _limit(digits: str, text: str) -> int:
    if digits in ("-1", "unlimited"):
        return _UNLIMITED
    if not _is_decimal(digits) or len(digits) > 20 or int(digits) > _UNLIMITED:
        raise InvalidArgument(f"ulimit {text!r}: expected a number, -1 or unlimited, found {digits!r}")
    return int(digits)


def parse_capability(text: str) -> str:
    """The canonical name of a capability: ``net_admin`` is ``CAP_NET_ADMIN``, ``all`` is ``ALL``."""
    name = text.strip().upper()
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise InvalidArgument(f"capability: expected a name as NET_ADMIN or ALL, found {text!r}")
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def parse_security(options: Iterable[str]) -> Security:
    """All ``--security-opt`` together; later ones win.

    Without ``apparmor`` and ``label`` containers have neither a profile nor a label.
    """
    security = Security()
    for option in options:
        security = security.replace(**_security_option(option, security))
    return security


def _security_option(text: str, before: Security) -> dict[str, object]:
    separator = "=" if "=" in text else ":"
    key, given, value = text.partition(separator)
    if key == "no-new-privileges" and (not given or value in ("true", "false")):
        return {"no_new_privileges": value != "false"}
    if key == "seccomp" and value:
        return {"seccomp": None if value == "builtin" else value}
    if key == "systempaths" and value == "unconfined":
        return {"system_paths": False}
    if key == "apparmor" and value:
        return {"apparmor": None if value == "unconfined" else value}
    if key == "label" and value:
        return {"selinux": _label(value, before.selinux or ":::")}
    if key in ("mask", "unmask") and value:
        return _masks(key, value, before)
    raise InvalidArgument(
        "security-opt: expected no-new-privileges, seccomp=, apparmor=, label=, mask=, unmask= or "
        f"systempaths=unconfined, found {text!r}"
    )


def _label(value: str, before: str) -> str | None:
    """SELinux's user:role:type:level, put together from ``user:…``, ``role:…``, ``type:…`` and ``level:…``."""
    if value == "disable":
        return None
    part, colon, content = value.partition(":")
    names = ("user", "role", "type", "level")
    if part not in names or not colon or not content:
        raise InvalidArgument(f"security-opt label={value}: expected disable, user:, role:, type: or level:")
    fields = before.split(":", 3)
    fields[names.index(part)] = content
    return ":".join(fields)


def _masks(key: str, value: str, before: Security) -> dict[str, object]:
    """Paths with colons between them; ``unmask=ALL`` is systempaths=unconfined."""
    paths = value.split(":")
    if key == "unmask" and paths == ["ALL"]:
        return {"system_paths": False}
    for path in paths:
        if path[:1] != "/":
            raise InvalidArgument(f"security-opt {key}={value}: {path!r} is not an absolute path")
    earlier: tuple[str, ...] = getattr(before, key)
    return {key: (*earlier, *paths)}


_CHOICE = ("labels", "env", "labels-regex", "env-regex", "tag")
_LOG_OPTIONS = {
    "json-file": ("max-size", "max-file", "compress", *_CHOICE),
    "local": ("max-size", "max-file", "compress"),
    "journald": _CHOICE,
    "none": (),
}


def parse_logging(driver: str, options: Iterable[str]) -> Logging:
    """``--log-driver`` and its ``--log-opt``: ``max-size=10m``, ``max-file=3``, ``compress=true``, ``labels=a,b`` …"""
    if driver not in _LOG_OPTIONS:
        raise Unsupported(f"unsupported: log-driver {driver} (use {', '.join(_LOG_OPTIONS)})")
    logging = Logging(driver=driver)
    for option in options:
        key, equals, value = option.partition("=")
        if key == "mode" and driver != "none":
            if value != "blocking":
                raise Unsupported(f"unsupported: log-opt {option} (a container never waits for its log here)")
        elif not equals or key not in _LOG_OPTIONS[driver]:
            raise InvalidArgument(f"log-opt: {driver} has no option {option!r}")
        else:
            logging = logging.replace(**_log_option(key, value))
        logging = logging.replace(options={**logging.options, key: value})
    if logging.compress and (logging.max_file == 1 or logging.max_size == -1):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    return logging


def _log_option(key: str, value: str) -> dict[str, object]:
    if key == "max-size":
        return {"max_size": -1 if value == "-1" else parse_bytes(value, "log-opt max-size")}
    if key == "max-file":
        return {"max_file": parse_integer(value, "log-opt max-file", 1)}
    if key == "compress":
        if value not in ("true", "false"):
            raise InvalidArgument(f"log-opt compress: expected true or false, found {value!r}")
        return {"compress": value == "true"}
    if key in ("labels", "env"):
        return {key: tuple(name.strip() for name in value.split(",") if name.strip())}
    return {key.replace("-", "_"): value}


def parse_restart(text: str) -> Restart:
    """``no``, ``always``, ``unless-stopped``, ``on-failure`` or ``on-failure:N`` (at most N restarts)."""
    name, colon, count = text.partition(":")
    name = name or "no"
    if name not in ("no", "always", "unless-stopped", "on-failure"):
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if not colon:
        return Restart(name=name)
    if not _is_decimal(count) or len(count) > 9:
        raise InvalidArgument("invalid restart policy format: maximum retry count must be an integer")
    if name != "on-failure":
        raise InvalidArgument("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    return Restart(name=name, limit=int(count))
