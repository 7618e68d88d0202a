"""The Container Network Interface, versions 0.3 to 1.1: programs of others set up a container's network.

A network is a list of plugins. Each is a process: what to do comes by its environment, the configuration by its
standard input, the result by its standard output (github.com/containernetworking/cni, SPEC.md).
"""

from __future__ import annotations

import os
from _signal import SIG_DFL, SIG_IGN, SIGCHLD, SIGKILL, getsignal, pidfd_send_signal, signal
from select import POLLIN, poll

from utsuwa.errors import Error, FailedPrecondition, InvalidArgument, Unavailable, Unsupported, printable
from utsuwa.spec.codec import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Versions of the interface that we speak."""
PLUGINS = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni:/usr/local/lib/cni"
"""Where plugins are installed, by everybody's habit."""
CONFIGURATIONS = "/etc/cni/net.d"
"""Where lists of plugins are kept."""
ADD, DELETE, CHECK = "ADD", "DEL", "CHECK"

_LIMIT = 60.0
"""Seconds that a plugin may take."""
_SIZE = 1 << 20
_SHOWN = 400


class Call:
    """What is said about one container to all plugins: its id, the ``interface`` it gets, the path of its ``namespace``
    ("" when that is gone), where plugins are looked for, and ``wishes``: what plugins with the capability are told.
    """

    __slots__ = ("container", "interface", "namespace", "places", "wishes")

    def __init__(self, container: str, interface: str, namespace: str, places: str, wishes: dict[str, Any]) -> None:
        self.container, self.interface, self.namespace = container, interface, namespace
        self.places, self.wishes = places, wishes


def read(text: bytes, what: str) -> dict[str, Any]:
    """A list of plugins out of a configuration, which may be of one plugin only. Raises InvalidArgument for what is
    none, Unsupported for another version of the interface.
    """
    found = parse(text)
    if isinstance(found, dict) and "type" in found and "plugins" not in found:
        found = {key: found[key] for key in ("cniVersion", "name") if key in found} | {"plugins": [found]}
    plugins = found.get("plugins") if isinstance(found, dict) else None
    if not isinstance(plugins, list) or not plugins or not isinstance(found.get("name"), str):
        raise InvalidArgument(f"{what} is no CNI configuration: it needs a name and a list of plugins")
    for plugin in plugins:
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        if not isinstance(kind, str) or not kind or "/" in kind:
            raise InvalidArgument(f"{what} is no CNI configuration: a plugin's type is the name of a program")
    offered = found.get("cniVersions") or [found.get("cniVersion", "0.1.0")]
    spoken = [version for version in VERSIONS if version in offered]
    if not spoken:
        raise Unsupported(f"unsupported: {what} is of CNI version {offered[0]} (use {VERSIONS[0]} to {VERSIONS[-1]})")
    return {**found, "cniVersion": spoken[-1]}


def capabilities(configuration: dict[str, Any]) -> set[str]:
    """What some plugin of the list wants to be told."""
    return {
        name for plugin in configuration["plugins"] for name, on in (plugin.get("capabilities") or {}).items() if on
    }


def add(configuration: dict[str, Any], call: Call) -> dict[str, Any]:
    """Set up a container's interface; the last plugin's result. Raises FailedPrecondition that names a plugin, and
    Unavailable for one that does not end.
    """
    result: dict[str, Any] | None = None
    for plugin in configuration["plugins"]:
        result = _run(ADD, configuration, plugin, call, result)
    if not isinstance(result, dict):
        raise FailedPrecondition(f"CNI network {configuration['name']}: its plugins gave no result")
    return result


def delete(configuration: dict[str, Any], call: Call, result: dict[str, Any] | None) -> None:
    """Take everything down, the last plugin's first; can be repeated. All are asked, also after one that failed."""
    problem: Error | None = None
    for plugin in reversed(configuration["plugins"]):
        try:
            _run(DELETE, configuration, plugin, call, result)
        except Error as error:
            problem = problem or error
    if problem:
        raise problem


def end_strays(container: str) -> None:
    """Kill plugins that are at work for a container still, though nobody waits for them any more."""
    mark = f"CNI_CONTAINERID={container}".encode()
    for name in os.listdir("/proc"):
        try:
            if not name.isdigit():
                continue
            process = os.pidfd_open(int(name))
        except OSError:
            continue
        try:
            with open(f"/proc/{name}/environ", "rb", buffering=0) as file:
                if mark in file.read(_SIZE).split(b"\0"):
                    pidfd_send_signal(process, SIGKILL)
                    _wait_for(process)
        except OSError:  # it has ended
            continue
        finally:
            os.close(process)


def check(configuration: dict[str, Any], call: Call, result: dict[str, Any]) -> None:
    """Ask every plugin if all is as it was made, where the list allows that. Raises FailedPrecondition if it is not."""
    if configuration.get("disableCheck") or VERSIONS.index(configuration["cniVersion"]) < VERSIONS.index("0.4.0"):
        return
    for plugin in configuration["plugins"]:
        _run(CHECK, configuration, plugin, call, result)


def _run(
    verb: str, configuration: dict[str, Any], plugin: dict[str, Any], call: Call, before: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Run one plugin; what it answers."""
    wanted = {key: value for key, value in plugin.items() if key != "capabilities"}
    wanted |= {"cniVersion": configuration["cniVersion"], "name": configuration["name"]}
    able = plugin.get("capabilities") or {}
    told = {name: call.wishes[name] for name in able if able[name] and name in call.wishes}
    if told:
        wanted["runtimeConfig"] = told
    if before is not None:
        wanted["prevResult"] = before
    environment = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": call.container,
        "CNI_NETNS": call.namespace,
        "CNI_IFNAME": call.interface,
        "CNI_ARGS": "IgnoreUnknown=1",
        "CNI_PATH": call.places,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    name = f"CNI network {configuration['name']}: plugin {plugin['type']}"
    path = _program(plugin["type"], call.places)
    if not path:
        raise FailedPrecondition(f"{name} is not in {call.places}: install it")
    status, said, complained = _execute(path, environment, dumps(wanted).encode(), f"{name} ({verb})")
    answer = _answer(said)
    if status != 0 or (isinstance(answer, dict) and answer.get("code")):
        raise FailedPrecondition(f"{name} ({verb}) failed: {_reason(answer, complained, status)}")
    if verb == ADD and not isinstance(answer, dict):
        raise FailedPrecondition(f"{name} (ADD) gave no result: {_reason(None, said or complained, status)}")
    return answer if verb == ADD else None


def _program(kind: str, places: str) -> str:
    for directory in places.split(":"):
        path = f"{directory}/{kind}"
        if directory and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return ""


def _answer(said: bytes) -> Any:
    try:
        return parse(said) if said.strip() else None
    except InvalidArgument:
        return None


def _reason(answer: Any, complained: bytes, status: int) -> str:
    """A plugin's own words, or what it left on standard error, or how it ended."""
    if isinstance(answer, dict) and isinstance(answer.get("msg"), str):
        details = answer.get("details")
        words = f"{answer['msg']}: {details}" if isinstance(details, str) and details else answer["msg"]
    else:
        words = complained.decode(errors="replace").strip()
    return printable(" ".join(words.split()))[:_SHOWN] or f"it ended with status {status}"


def _execute(path: str, environment: dict[str, str], given: bytes, what: str) -> tuple[int, bytes, bytes]:
    """Status, output and complaints of a plugin that has nothing of ours but these."""
    files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("cni-input", "cni-output", "cni-errors")]
    ignored = getsignal(SIGCHLD) == SIG_IGN
    if ignored:  # the kernel would keep the status to itself
        signal(SIGCHLD, SIG_DFL)
    try:
        os.write(files[0], given)
        os.lseek(files[0], 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files)]
        child = os.posix_spawn(
            path, [path], environment, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=range(1, 32)
        )
        status = _wait(child, what)
        return status, os.pread(files[1], _SIZE, 0), os.pread(files[2], _SIZE, 0)
    except OSError as error:
        raise FailedPrecondition(f"{what} can't be run: {(error.strerror or '').lower()}") from error
    finally:
        if ignored:
            signal(SIGCHLD, SIG_IGN)
        for file in files:
            os.close(file)


def _wait(child: int, what: str) -> int:
    """Its status; with all that it has started it is killed when its time is over."""
    process = os.pidfd_open(child)
    try:
        in_time = _wait_for(process)
        if not in_time:
            os.killpg(child, SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(process)
    if not in_time:
        raise Unavailable(f"{what} did not end within {_LIMIT:.0f} seconds, and was killed")
    return status


def _wait_for(process: int) -> bool:
    """Whether it ended in time."""
    waiting = poll()
    waiting.register(process, POLLIN)
    return bool(waiting.poll(_LIMIT * 1000))
