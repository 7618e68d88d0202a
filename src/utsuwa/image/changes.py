"""``--change`` of commit and import: one Dockerfile instruction each, applied to an image's settings."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec import codec
from utsuwa.spec.duration import nanoseconds
from utsuwa.spec.image import Empty, Healthcheck, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHELL = ("/bin/sh", "-c")


def apply(settings: Settings, instructions: Iterable[str]) -> Settings:
    """The settings after the instructions. Raises InvalidArgument for what can't be read, or can't be changed so."""
    for text in instructions:
        word, _, rest = text.strip().partition(" ")
        change = _INSTRUCTIONS.get(word.upper())
        if change is None:
            known = ", ".join(_INSTRUCTIONS)
            raise InvalidArgument(f'"{word}" is not an instruction that can change an image, use one of {known}')
        if not rest.strip():
            raise InvalidArgument(f"{word.upper()} requires an argument")
        settings = change(settings, rest.strip())
    return settings


def _command(settings: Settings, text: str) -> tuple[str, ...]:
    """The exec form, a JSON list, or else a line for the shell."""
    return _listed(text) or (*(settings.Shell or _SHELL), text)


def _listed(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        found = codec.parse(text)
    except InvalidArgument:
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def _words(text: str) -> list[str]:
    """A line's words, by a shell's rules for quotes and backslashes."""
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"{text}: {str(error).lower()}") from None


def _pairs(text: str, what: str) -> list[tuple[str, str]]:
    """``name=value …``, or the old ``name value`` with everything behind the blank as the value."""
    words = _words(text)
    if words and "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value:
            raise InvalidArgument(f"{what} must have two arguments")
        return [(name, value.strip())]
    pairs = [word.partition("=") for word in words]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {name!r}. Must be of the form: name=value")
    return [(name, value) for name, _, value in pairs]


def _env(settings: Settings, text: str) -> Settings:
    merged = {word.partition("=")[0]: word for word in settings.Env or ()}
    merged |= {name: f"{name}={value}" for name, value in _pairs(text, "ENV")}
    return settings.replace(Env=tuple(merged.values()))


def _label(settings: Settings, text: str) -> Settings:
    return settings.replace(Labels={**(settings.Labels or {}), **dict(_pairs(text, "LABEL"))})


def _expose(settings: Settings, text: str) -> Settings:
    ports = dict(settings.ExposedPorts or {})
    for word in _words(text):
        span, _, protocol = word.partition("/")
        first, _, last = span.partition("-")
        last = last or first
        if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) < 65536) or (
            protocol.lower() not in ("", "tcp", "udp", "sctp")
        ):
            raise InvalidArgument(f"invalid containerPort: {word}")
        ports |= {f"{port}/{protocol.lower() or 'tcp'}": Empty() for port in range(int(first), int(last) + 1)}
    return settings.replace(ExposedPorts=ports)


def _volume(settings: Settings, text: str) -> Settings:
    places = _listed(text) or tuple(_words(text))
    return settings.replace(Volumes={**(settings.Volumes or {}), **{place: Empty() for place in places}})


def _workdir(settings: Settings, text: str) -> Settings:
    base = settings.WorkingDir or "/"
    return settings.replace(WorkingDir=text if text.startswith("/") else f"{base.rstrip('/')}/{text}")


def _entrypoint(settings: Settings, text: str) -> Settings:
    """An entrypoint takes the command that was for another one away, as in a Dockerfile."""
    return settings.replace(Entrypoint=_command(settings, text), Cmd=None)


def _healthcheck(settings: Settings, text: str) -> Settings:
    if text.upper() == "NONE":
        return settings.replace(Healthcheck=Healthcheck(Test=("NONE",)))
    names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
             "start-interval": "StartInterval", "retries": "Retries"}  # fmt: skip
    values: dict[str, int] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, _, value = option[2:].partition("=")
        if name not in names:
            raise InvalidArgument(f"unknown flag: --{name}")
        values[names[name]] = int(value) if name == "retries" and value.isdigit() else nanoseconds(value)
        text = text.strip()
    kind, _, command = text.partition(" ")
    if kind.upper() != "CMD" or not command.strip():
        raise InvalidArgument(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    listed = _listed(command.strip())
    test = ("CMD", *listed) if listed else ("CMD-SHELL", command.strip())
    return settings.replace(Healthcheck=Healthcheck(Test=test, **values))


_INSTRUCTIONS: dict[str, Callable[[Settings, str], Settings]] = {
    "CMD": lambda settings, text: settings.replace(Cmd=_command(settings, text)),
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": lambda settings, text: settings.replace(OnBuild=(*(settings.OnBuild or ()), text)),
    "STOPSIGNAL": lambda settings, text: settings.replace(StopSignal=text),
    "USER": lambda settings, text: settings.replace(User=text),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
