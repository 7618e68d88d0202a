"""Checks of what a Dockerfile means: variables, bases and their platforms, and what only shows stage by stage."""

from __future__ import annotations

from utsuwa.build.check_names import looks_secret
from utsuwa.build.checks import Warning
from utsuwa.build.instructions import Arg, Command, Copy, Instruction, Pairs, Words
from utsuwa.build.patterns import Exclusions
from utsuwa.build.request import PROXIES
from utsuwa.build.words import Words as Lexer
from utsuwa.build.words import WrongWords
from utsuwa.errors import Error
from utsuwa.spec import platform as platforms
from utsuwa.spec import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from utsuwa.build.checks import Look
    from utsuwa.build.graph import Graph
    from utsuwa.build.instructions import From, Stage
    from utsuwa.build.request import BuildRequest

_TARGET = ("$TARGETPLATFORM", "${TARGETPLATFORM}")


class _Variables(dict[str, str]):
    """Variables that note which of those that are not there were asked for without another value in their place."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(names, ""))
        self.missing: list[str] = []

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        if name not in self and default is not None and name not in self.missing:
            self.missing.append(name)
        return super().get(name, default)


class _Known:
    """What is known of a stage so far. ``names`` of variables: None when its base is not here."""

    def __init__(self, names: set[str] | None, shell: bool, absolute: bool) -> None:
        self.names, self.shell, self.absolute = names, shell, absolute

    def copy(self) -> _Known:
        return _Known(None if self.names is None else set(self.names), self.shell, self.absolute)


def check_stages(graph: Graph, request: BuildRequest, look: Look) -> Iterator[Warning]:
    """What is found in the stages, whether they are built or not."""
    checks = _Checks(graph, request, look)
    for stage in graph.dockerfile.stages:
        yield from checks.base(stage)
        yield from checks.stage(stage)
    for instruction in graph.dockerfile.globals:
        yield from checks.secrets(instruction)


class _Checks:
    def __init__(self, graph: Graph, request: BuildRequest, look: Look) -> None:
        self._graph, self._request, self._look = graph, request, look
        self._lexer = Lexer(graph.dockerfile.escape)
        self._ends: dict[int, _Known] = {}
        ignored = list(request.ignored)
        # What a ! includes again is not to be told from here.
        self._ignored = Exclusions([] if any(line.startswith("!") for line in ignored) else ignored)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def base(self, stage: Stage) -> Iterator[Warning]:
        base = stage.base
        yield from self._arguments_of(base)
        if base.platform in _TARGET:
            text = (
                f"Setting platform to predefined {base.platform} in FROM is redundant as this is the default behavior"
            )
            yield _found("RedundantTargetPlatform", text, base)
        if base.platform and "$" not in base.platform and not _names_platform(base):
            text = f'FROM --platform flag should not use constant value "{base.platform}"'
            yield _found("FromPlatformFlagConstDisallowed", text, base)
        yield from self._platform(stage)

    def _arguments_of(self, base: From) -> Iterator[Warning]:
        declared = {name for arg in self._graph.dockerfile.globals for name, _ in arg.pairs}
        known = {*declared, *self._graph.built_in}
        variables = self._missing(known, base.image, base.platform)
        for name in variables:
            text = f"FROM argument '{name}' is not declared{_suggested(name, known)}"
            yield _found("UndefinedArgInFrom", text, base)
        if "$" in base.image and not variables and not self._is_name(base.image):
            text = f"Default value for ARG {base.image} results in empty or invalid base image name"
            yield _found("InvalidDefaultArgInFrom", text, base)

    def _is_name(self, image: str) -> bool:
        """Whether it is the name of an image with what the Dockerfile itself says."""
        values = dict(self._graph.built_in)
        try:
            for arg in self._graph.dockerfile.globals:
                for name, default in arg.pairs:
                    values[name] = self._lexer.expand(default or "", values)
            text = self._lexer.expand(image, values)
            return bool(text) and bool(reference.parse(text))
        except Error:
            return False

    def _platform(self, stage: Stage) -> Iterator[Warning]:
        """The base is for another platform than it is asked for."""
        name, platform = self._graph.bases[stage.number]
        image = None if self._graph.base_stage(stage) or name == "scratch" else self._look(name)
        if image is None:
            return
        try:
            asked = platforms.parse(platform) if platform else (self._request.platform or platforms.host())
        except Error:
            return
        if platforms.choose(asked, [image.config.platform]) is None:
            text = f'Base image {name} was pulled with platform "{image.config.platform}"'
            text += f', expected "{asked}" for current build'
            yield _found("InvalidBaseImagePlatform", text, stage.base)

    # -- what follows ----------------------------------------------------------------------------------------------

    def stage(self, stage: Stage) -> Iterator[Warning]:
        known = self._begin(stage)
        for instruction in stage.instructions:
            yield from self._undefined(instruction, known)
            yield from self._by_kind(instruction, known)
            yield from self.secrets(instruction)
            if isinstance(instruction, (Arg, Pairs)) and instruction.keyword != "LABEL" and known.names is not None:
                known.names |= {name for name, _ in instruction.pairs}
            known.shell = known.shell or instruction.keyword == "SHELL"
        self._ends[stage.number] = known

    def _begin(self, stage: Stage) -> _Known:
        before = self._graph.base_stage(stage)
        if before is not None:
            return self._ends[before.number].copy()
        name, _ = self._graph.bases[stage.number]
        image = None if name == "scratch" else self._look(name)
        settings = image.config.settings if image else None
        if name != "scratch" and settings is None:
            return _Known(None, False, False)
        own = {word.partition("=")[0] for word in (settings.Env or () if settings else ())}
        return _Known({"PATH", *PROXIES, *own}, bool(settings and settings.Shell), False)

    def _undefined(self, instruction: Instruction, known: _Known) -> Iterator[Warning]:
        if known.names is None:
            return
        for name in self._missing(known.names, *_expanded(instruction)):
            names = self._suggestions(known.names)
            text = f"Usage of undefined variable '${name}'{_suggested(name, names, '$')}"
            yield _found("UndefinedVar", text, instruction)

    @staticmethod
    def _suggestions(names: set[str]) -> set[str]:
        return names.difference(PROXIES)

    def _missing(self, names: Iterable[str], *texts: str) -> list[str]:
        variables = _Variables(names)
        for text in texts:
            try:
                self._lexer.expand(text, variables)
            except WrongWords:  # for the build to complain about
                continue
        return variables.missing

    def _by_kind(self, instruction: Instruction, known: _Known) -> Iterator[Warning]:
        keyword = instruction.keyword
        if keyword in ("CMD", "ENTRYPOINT") and isinstance(instruction, Command):
            if instruction.shell and not known.shell:
                text = f"JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
                yield _found("JSONArgsRecommended", text, instruction)
        elif keyword == "WORKDIR" and isinstance(instruction, Words):
            path = instruction.words[0]
            if path.startswith(("/", "$")):
                known.absolute = True
            elif not known.absolute:
                text = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                yield _found("WorkdirRelativePath", text, instruction)
        elif keyword == "EXPOSE" and isinstance(instruction, Words):
            yield from _ports(instruction)
        elif isinstance(instruction, Copy):
            yield from self._ignored_sources(instruction)

    def _ignored_sources(self, instruction: Copy) -> Iterator[Warning]:
        if instruction.source_stage or not self._ignored:
            return
        verb = instruction.keyword.capitalize()
        for source in instruction.sources:
            path = source.removeprefix("./").strip("/")
            if not path or path == "." or "$" in path or "://" in source or "@" in source:
                continue
            if self._ignored.excludes(path):
                text = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
                yield _found("CopyIgnoredFile", text, instruction)

    @staticmethod
    def secrets(instruction: Instruction) -> Iterator[Warning]:
        """Variables of ARG and ENV that are called as secrets are."""
        if instruction.keyword in ("ARG", "ENV") and isinstance(instruction, (Arg, Pairs)):
            for name, _ in instruction.pairs:
                if looks_secret(name):
                    what = f'{instruction.keyword} "{name}"'
                    text = f"Do not use ARG or ENV instructions for sensitive data ({what})"
                    yield _found("SecretsUsedInArgOrEnv", text, instruction)


def _expanded(instruction: Instruction) -> list[str]:
    """The texts of an instruction in which a build puts values for variables."""
    if isinstance(instruction, Copy):
        return [*instruction.sources, instruction.target, instruction.owner, instruction.mode, *instruction.excludes]
    if isinstance(instruction, (Arg, Pairs)):
        return [value for _, value in instruction.pairs if value]
    if isinstance(instruction, Words) and instruction.keyword not in ("SHELL", "MAINTAINER"):
        return list(instruction.words)
    return []


def _ports(instruction: Words) -> Iterator[Warning]:
    for word in instruction.words:
        protocol = word.partition("/")[2]
        if protocol and "$" not in protocol and protocol != protocol.lower():
            text = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
            yield _found("ExposeProtoCasing", text, instruction)
        if ":" in word.partition("${")[0]:
            text = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
            yield _found("ExposeInvalidFormat", text, instruction)


def _names_platform(base: From) -> bool:
    """The stage's name says for which platform it is."""
    system, _, rest = base.platform.partition("/")
    architecture = rest.partition("/")[0]
    return any(part and part in base.alias for part in (system, architecture))


def _suggested(name: str, known: Iterable[str], mark: str = "") -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(known), 1, 0.7)
    return f" (did you mean {mark}{close[0]}?)" if close else ""


def _found(rule: str, text: str, instruction: Instruction) -> Warning:
    return Warning(rule=rule, text=text, first=instruction.first, last=instruction.last)
