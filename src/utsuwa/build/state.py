"""What a stage has become so far: settings, layers, history, and the variables that its instructions see."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.image.to_spec import DEFAULT_PATH
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import Empty, Healthcheck, History, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build.instructions import Command, Health, Instruction, Pairs, Words
    from utsuwa.build.request import BuildRequest
    from utsuwa.image.make import NewLayer
    from utsuwa.image.store import Image
    from utsuwa.spec.platform import Platform

DEFAULT_SHELL = ("/bin/sh", "-c")


class State:
    """Grows from instruction to instruction; a stage that builds on another begins with a copy.

    ``top`` is the chain ID of the last layer, "" for none; ``layers`` and ``history`` come after those of ``base``.
    ``made`` is the time of the last layer in Unix seconds; without one, ``moment`` (nanoseconds) where that was asked
    for.
    """

    def __init__(self, base: Image | None, moment: int | None = None) -> None:
        self.base = base
        self.made = moment // 1_000_000_000 if moment is not None else (base.created if base else 0)
        self.top = base.top if base else ""
        self.layers: list[NewLayer] = []
        self.history: list[History] = []
        self.settings = base.config.settings if base else Settings(WorkingDir="/")
        self.author = base.config.author if base else None
        self.env = dict(word.partition("=")[::2] for word in self.settings.Env or ())
        self.env.setdefault("PATH", DEFAULT_PATH)
        self.arguments: dict[str, str] = {}
        self.command_is_own = False

    def copy(self) -> State:
        """For a stage that builds on this one: its ARGs it has to declare again."""
        made = State(None)
        made.__dict__.update(self.__dict__)
        made.layers, made.history = list(self.layers), list(self.history)
        made.env, made.arguments, made.command_is_own = dict(self.env), {}, False
        return made

    @property
    def variables(self) -> dict[str, str]:
        """What ``$NAME`` means in an instruction: an ENV hides the ARG of the same name."""
        return {**self.arguments, **self.env}

    @property
    def shell(self) -> tuple[str, ...]:
        """What runs the shell forms."""
        return self.settings.Shell or DEFAULT_SHELL

    @property
    def workdir(self) -> str:
        """Where RUN begins, and what relative targets count from."""
        return self.settings.WorkingDir or "/"

    def platform(self, request: BuildRequest) -> Platform:
        """What it is for: the base's, or what is asked for."""
        if self.base:
            return self.base.config.platform
        return request.platform or platforms.host().replace(variant="")

    def finished(self) -> Settings:
        """The settings with the environment that has come about."""
        return self.settings.replace(Env=tuple(f"{name}={value}" for name, value in self.env.items()))

    def absolute(self, path: str) -> str:
        """A path of the image, relative ones from the working directory; a slash at its end stays."""
        whole = path if path.startswith("/") else f"{self.workdir.rstrip('/')}/{path}"
        parts: list[str] = []
        for part in whole.split("/"):
            if part == "..":
                del parts[-1:]
            elif part and part != ".":
                parts.append(part)
        return "/" + "/".join(parts) + ("/" if parts and whole.endswith(("/", "/.")) else "")


def apply(state: State, instruction: Instruction, expand: Callable[[str], str]) -> None:
    """Change the settings as one instruction says that makes no layer. Raises InvalidArgument."""
    _CHANGES[instruction.keyword](state, instruction, expand)


def _env(state: State, instruction: Pairs, expand: Callable[[str], str]) -> None:
    state.env |= {expand(name): expand(value) for name, value in instruction.pairs}


def _label(state: State, instruction: Pairs, expand: Callable[[str], str]) -> None:
    labels = {expand(name): expand(value) for name, value in instruction.pairs}
    state.settings = state.settings.replace(Labels={**(state.settings.Labels or {}), **labels})


def _cmd(state: State, instruction: Command, _expand: Callable[[str], str]) -> None:
    words = (*state.shell, *instruction.words) if instruction.shell else instruction.words
    state.settings = state.settings.replace(Cmd=words)
    state.command_is_own = True


def _entrypoint(state: State, instruction: Command, _expand: Callable[[str], str]) -> None:
    words = (*state.shell, *instruction.words) if instruction.shell else instruction.words
    state.settings = state.settings.replace(Entrypoint=words)
    if not state.command_is_own:  # what the base says is for the base's entrypoint
        state.settings = state.settings.replace(Cmd=None)


def _expose(state: State, instruction: Words, expand: Callable[[str], str]) -> None:
    ports = dict(state.settings.ExposedPorts or {})
    for word in " ".join(map(expand, instruction.words)).split():
        ports |= dict.fromkeys(_ports(word), Empty())
    state.settings = state.settings.replace(ExposedPorts=ports)


def _ports(word: str) -> list[str]:
    numbers, _, protocol = word.rpartition(":")[2].partition("/")
    protocol = protocol.lower() or "tcp"
    low, _, high = numbers.partition("-")
    high = high or low
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidArgument(f"invalid proto: {protocol}")
    if not all(each.isascii() and each.isdigit() and len(each) < 6 and int(each) < 1 << 16 for each in (low, high)):
        raise InvalidArgument(f"invalid containerPort: {word}")
    if int(high) < int(low):
        raise InvalidArgument(f"invalid range specified for port: {word}")
    return [f"{number}/{protocol}" for number in range(int(low), int(high) + 1)]


def _volume(state: State, instruction: Words, expand: Callable[[str], str]) -> None:
    volumes = {expand(word): Empty() for word in instruction.words}
    if "" in volumes:
        raise InvalidArgument("VOLUME specified can not be an empty string")
    state.settings = state.settings.replace(Volumes={**(state.settings.Volumes or {}), **volumes})


def _user(state: State, instruction: Words, expand: Callable[[str], str]) -> None:
    state.settings = state.settings.replace(User=expand(instruction.words[0]))


def _stop_signal(state: State, instruction: Words, expand: Callable[[str], str]) -> None:
    from utsuwa.engine.limits import stop_signal

    word = expand(instruction.words[0])
    stop_signal(word)
    state.settings = state.settings.replace(StopSignal=word)


def _maintainer(state: State, instruction: Words, _expand: Callable[[str], str]) -> None:
    state.author = instruction.words[0]


def _shell(state: State, instruction: Words, _expand: Callable[[str], str]) -> None:
    state.settings = state.settings.replace(Shell=instruction.words)


def _onbuild(state: State, instruction: Instruction, _expand: Callable[[str], str]) -> None:
    trigger: str = instruction.trigger  # type: ignore[attr-defined]
    state.settings = state.settings.replace(OnBuild=(*(state.settings.OnBuild or ()), trigger))


def _health(state: State, instruction: Health, _expand: Callable[[str], str]) -> None:
    state.settings = state.settings.replace(
        Healthcheck=Healthcheck(
            Test=instruction.test,
            Interval=instruction.interval or None,
            Timeout=instruction.timeout or None,
            StartPeriod=instruction.start_period or None,
            StartInterval=instruction.start_interval or None,
            Retries=instruction.retries or None,
        )
    )


_CHANGES: dict[str, Callable[..., None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
}
