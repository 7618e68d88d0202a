"""Which OCI runtime makes a container: our own, in the monitor's process, or the program of another.

/etc/utsuwa/runtimes.toml (or what UTSUWA_RUNTIMES names)

default = "urun"
[runtimes.gvisor]
path = "/usr/bin/runsc"
arguments = ["--platform=systrap", "--ignore-cgroups"]
"""

from __future__ import annotations

import os

from utsuwa.engine.containers import OWN, RUNTIMES
from utsuwa.engine.groups import read_table
from utsuwa.errors import InvalidArgument, NotFound, Unsupported, from_oserror
from utsuwa.runtime.foreign import VERSION
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.engine.paths import Paths
    from utsuwa.spec.request import RunRequest
    from utsuwa.spec.runtime import Process, Spec, User

VARIABLE = "UTSUWA_RUNTIMES"
KNOWN = ("crun", "runc", "runsc")
"""Found by their names on PATH, without configuration."""
_WHERE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ID_LIMIT = 0x7FFF_FFFF


class Runtime(Record):
    """``command`` begins every call of another runtime; () is our own."""

    name: str = OWN
    command: tuple[str, ...] = ()


def resolve(paths: Paths, wanted: str) -> Runtime:
    """The runtime of a name, a path, or "" for the default. Raises InvalidArgument in Docker's words for no runtime."""
    if not wanted and not is_configured():
        return Runtime()
    document = _configuration()
    name = wanted or str(document.get("default") or OWN)
    if name == OWN:
        return Runtime()
    entry = document.get("runtimes", {}).get(name)
    if entry is not None:
        path, arguments = str(entry["path"]), tuple(map(str, entry.get("arguments", ())))
    elif name[0] == "/":
        path, arguments = name, ()
    elif name in KNOWN:
        path, arguments = _on_path(name), ()
    else:
        raise InvalidArgument(f"unknown or invalid runtime name: {name} (use urun, {', '.join(KNOWN)} or a path)")
    if not os.access(path, os.X_OK):
        raise NotFound(f"the runtime {name} is not there: {path} can't be run")
    root = f"{paths.run}/runtimes/{name.strip('/').replace('/', '-')}"
    return Runtime(name=name, command=(path, *arguments, "--root", root))


def installed() -> dict[str, str]:
    """The runtimes that a container may have by name, and their programs."""
    found = {OWN: OWN}
    for name in KNOWN:
        try:
            found[name] = _on_path(name)
        except NotFound:
            continue
    entries = _configuration().get("runtimes", {}) if is_configured() else {}
    return found | {name: str(entry["path"]) for name, entry in entries.items()}


def is_configured() -> bool:
    """Somebody may have chosen another default."""
    return os.path.exists(os.environ.get(VARIABLE) or RUNTIMES)


def _on_path(name: str) -> str:
    for directory in (os.environ.get("PATH") or _WHERE).split(":") + _WHERE.split(":"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    raise NotFound(f"the runtime {name} is not installed")


def _configuration() -> dict[str, Any]:
    """The file, as far as it has the right shape. Raises InvalidArgument where it has not."""
    path = os.environ.get(VARIABLE) or RUNTIMES
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise InvalidArgument(f"{path}: {error}") from None
    unknown = set(document) - {"default", "runtimes"}
    if unknown:
        raise InvalidArgument(f"{path}: unknown key {sorted(unknown)[0]} (default, runtimes)")
    for name, entry in document.get("runtimes", {}).items():
        if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
            raise InvalidArgument(f"{path}: runtimes.{name} needs an absolute path")
    return document


def adapt(spec: Spec, request: RunRequest, user: str, trees: list[str]) -> Spec:
    """The configuration in the words that other runtimes know, with the user looked up in the image. Raises Unsupported
    for what only our own can do.
    """
    if request.init:
        raise Unsupported("unsupported: --init with another runtime than urun")
    for mount in spec.mounts or ():
        if any(option.startswith("X-mount.subdir=") for option in mount.options or ()):
            raise Unsupported(f"unsupported: the subpath at {mount.destination}, with another runtime than urun")
    if request.seldom is not None and request.seldom.ipc.startswith("container:"):
        raise Unsupported("unsupported: --ipc container: with another runtime than urun")
    assert spec.process is not None  # the engine composed it
    return spec.replace(ociVersion=VERSION, process=with_user(spec.process, user, trees))


def with_user(process: Process, user: str, trees: list[str]) -> Process:
    """The process with the ids of ``name|uid[:group|gid]``, as the image's own files have them, and with its HOME."""
    name, _, group = user.partition(":")
    entry = _entry(read_table(trees, "/etc/passwd"), name or "0", 2)
    uid = int(entry[2]) if entry else _number(name, user)
    gid = int(entry[3]) if entry and entry[3].isdigit() else 0
    groups = read_table(trees, "/etc/group")
    more = list(process.user.additionalGids or ())
    if group:
        found = _entry(groups, group, 2)
        gid = int(found[2]) if found else _number(group, user)
    elif entry:
        members = [line for line in groups if len(line) > 3 and line[2].isdigit()]
        more += [int(line[2]) for line in members if entry[0] in line[3].split(",")]
    env = process.env or ()
    if not any(variable.startswith("HOME=") for variable in env):
        env = (*env, f"HOME={entry[5] if entry and len(entry) > 5 and entry[5] else '/'}")
    ids: User = process.user.replace(uid=uid, gid=gid, additionalGids=tuple(dict.fromkeys(more)) or None)
    return process.replace(user=ids, env=env)


def _entry(table: list[list[str]], wanted: str, place: int) -> list[str] | None:
    """The line of that name, or else of that number."""
    lines = [line for line in table if len(line) > place + 1 and line[place].isdigit()]
    return next((line for line in lines if line[0] == wanted), None) or next(
        (line for line in lines if line[place] == wanted), None
    )


def _number(text: str, user: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > _ID_LIMIT:
        raise NotFound(f"unable to find user {user}: no matching entries in passwd file")
    return int(text)
