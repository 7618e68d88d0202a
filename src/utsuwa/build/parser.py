"""Statements become instructions and stages; what is wrong is said in BuildKit's words, with the line."""

from __future__ import annotations

from utsuwa.build import arguments
from utsuwa.build.fault import Fault
from utsuwa.build.instructions import (
    Arg,
    Command,
    Copy,
    Dockerfile,
    From,
    Health,
    Instruction,
    Pairs,
    Stage,
    Trigger,
    Words,
)
from utsuwa.build.reader import Statement, parse_statement, read
from utsuwa.build.words import WrongWords
from utsuwa.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_WITHIN_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")


def parse(data: bytes) -> Dockerfile:
    """A Dockerfile's bytes as stages. Raises Fault, and Unsupported for another frontend than Dockerfile's own."""
    source = read(data)
    frontend = source.directives.get("syntax", "docker/dockerfile").removeprefix("docker.io/")
    if frontend.partition(":")[0].partition("@")[0] not in ("docker/dockerfile", "docker/dockerfile-upstream"):
        raise Unsupported(f"unsupported: the build frontend {frontend} (leave out the line # syntax=)")
    found = Dockerfile(source)
    for statement in source.statements:
        instruction = parse_instruction(statement, source.escape)
        if isinstance(instruction, From):
            _check_alias(instruction)
            found.stages.append(Stage(len(found.stages), instruction))
        elif found.stages:
            found.stages[-1].instructions.append(instruction)
        elif isinstance(instruction, Arg):
            found.globals.append(instruction)
        else:
            raise Fault("no build stage in current context", statement.first, statement.last)
    if not found.stages:
        raise Fault("dockerfile contains no stages to build", source.statements[-1].first)
    return found


def parse_trigger(text: str, escape: str) -> Instruction:
    """The instruction that an image's ONBUILD holds. Raises Fault."""
    return parse_instruction(parse_statement(text, 0), escape)


def parse_instruction(statement: Statement, escape: str) -> Instruction:
    """One statement. Raises Fault."""
    maker = _MAKERS.get(statement.keyword)
    if maker is None:
        raise Fault(_unknown(statement.keyword), statement.first, statement.last)
    common = {
        "keyword": statement.keyword,
        "text": " ".join([statement.keyword, *statement.flags, statement.rest]).strip(),
        "first": statement.first,
        "last": statement.last,
    }
    try:
        return maker(statement, escape, common)
    except Fault:
        raise
    except (InvalidArgument, WrongWords) as error:
        raise Fault(str(error), statement.first, statement.last) from None


def _unknown(keyword: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(keyword, _MAKERS, 1, 0.6)
    return f"unknown instruction: {keyword}" + (f" (did you mean {close[0]}?)" if close else "")


def _check_alias(base: From) -> None:
    name = base.alias
    usable = name[:1].isalpha() and name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if name and not usable:
        raise Fault(
            f'invalid name for build stage: "{name}", name can\'t start with a number or contain symbols',
            base.first,
            base.last,
        )


# -- one function a kind of instruction --------------------------------------------------------------------------------


def _from(statement: Statement, _escape: str, common: dict[str, Any]) -> From:
    flags = arguments.flags(statement, {"platform": "text"})
    words = statement.rest.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise InvalidArgument("FROM requires either one or three arguments")
    alias = words[2].lower() if len(words) == 3 else ""
    return From(**common, image=words[0], alias=alias, platform=flags.get("platform", ""))


def _arg(statement: Statement, escape: str, common: dict[str, Any]) -> Arg:
    arguments.flags(statement, {})
    words = arguments.raw_words(statement.rest, escape)
    if not words:
        raise InvalidArgument("ARG requires at least one argument")
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidArgument("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    return Arg(**common, pairs=tuple(pairs))


def _pairs(statement: Statement, escape: str, common: dict[str, Any]) -> Pairs:
    arguments.flags(statement, {})
    return Pairs(**common, pairs=arguments.pairs(statement.keyword, statement.rest, escape))


def _run(statement: Statement, _escape: str, common: dict[str, Any]) -> Command:
    flags = arguments.flags(statement, {"mount": "list", "network": "text", "security": "text"})
    words = arguments.json_words(statement.rest)
    if not statement.rest:
        raise InvalidArgument("RUN requires at least one argument")
    network, security = flags.get("network", "default"), flags.get("security", "sandbox")
    if network not in ("default", "none", "host"):
        raise InvalidArgument(f"invalid network mode: {network!r} (use default, none or host)")
    if security not in ("sandbox", "insecure"):
        raise InvalidArgument(f"security {security!r} is not valid (use sandbox or insecure)")
    return Command(
        **common,
        words=(statement.rest,) if words is None else tuple(words),
        shell=words is None,
        documents=tuple(statement.documents),
        mounts=tuple(flags.get("mount", ())),
        network=network,
        security=security,
    )


def _command(statement: Statement, _escape: str, common: dict[str, Any]) -> Command:
    arguments.flags(statement, {})
    words = arguments.json_words(statement.rest)
    if words is None:
        return Command(**common, words=(statement.rest,) if statement.rest else (), shell=bool(statement.rest))
    return Command(**common, words=tuple(words), shell=False)


_COPY_FLAGS = {
    "from": "text",
    "chown": "text",
    "chmod": "text",
    "link": "switch",
    "parents": "switch",
    "exclude": "list",
}
_ADD_FLAGS = {
    "chown": "text",
    "chmod": "text",
    "link": "switch",
    "exclude": "list",
    "checksum": "text",
    "keep-git-dir": "switch",
    "unpack": "switch",
}


def _copy(statement: Statement, escape: str, common: dict[str, Any]) -> Copy:
    keyword = statement.keyword
    flags = arguments.flags(statement, _COPY_FLAGS if keyword == "COPY" else _ADD_FLAGS)
    words = arguments.json_words(statement.rest)
    if words is None:
        words = statement.rest.split()
    if not words:
        raise InvalidArgument(f"{keyword} requires at least two arguments, but no arguments were provided")
    if len(words) == 1:
        raise InvalidArgument(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    names = {document.name for document in statement.documents}
    if "$" in flags.get("from", ""):
        raise InvalidArgument(
            f"'{flags['from']}': variable expansion is not supported for --from, define a new stage with FROM using "
            "ARG from global scope as a workaround"
        )
    return Copy(
        **common,
        sources=tuple(word for word in words[:-1] if not arguments.announces(word, names)),
        target=words[-1],
        documents=tuple(statement.documents),
        source_stage=flags.get("from", ""),
        owner=flags.get("chown", ""),
        mode=flags.get("chmod", ""),
        parents=flags.get("parents", False),
        link=flags.get("link", False),
        excludes=tuple(flags.get("exclude", ())),
        checksum=flags.get("checksum", ""),
        unpack=flags.get("unpack"),
        git_directory=flags.get("keep-git-dir", False),
    )


def _words(statement: Statement, escape: str, common: dict[str, Any]) -> Words:
    arguments.flags(statement, {})
    keyword, rest = statement.keyword, statement.rest
    if keyword == "VOLUME":
        words = arguments.json_words(rest)
        words = rest.split() if words is None else words
        if any(not word.strip() for word in words):
            raise InvalidArgument("VOLUME specified can not be an empty string")
    elif keyword == "EXPOSE":
        words = rest.split()
    elif keyword == "SHELL":
        found = arguments.json_words(rest)
        if rest and found is None:
            raise InvalidArgument("SHELL requires the arguments to be in JSON form")
        words = found or []
    else:
        words = [rest] if rest else []
        if not words:
            raise InvalidArgument(f"{keyword} requires exactly one argument")
    if not words:
        raise InvalidArgument(f"{keyword} requires at least one argument")
    return Words(**common, words=tuple(words))


def _onbuild(statement: Statement, escape: str, common: dict[str, Any]) -> Trigger:
    if statement.flags:
        raise InvalidArgument(f"unknown flag: {statement.flags[0]}")
    if not statement.rest:
        raise InvalidArgument("ONBUILD requires at least one argument")
    inner = parse_statement(statement.rest, statement.first)
    if inner.keyword == "ONBUILD":
        raise InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if inner.keyword in _WITHIN_TRIGGERS:
        raise InvalidArgument(f"{inner.keyword} isn't allowed as an ONBUILD trigger")
    if statement.documents:
        raise InvalidArgument("a here-document is not supported in ONBUILD")
    parse_instruction(inner, escape)
    return Trigger(**common, trigger=statement.rest)


def _health(statement: Statement, _escape: str, common: dict[str, Any]) -> Health:
    names = ("interval", "timeout", "start-period", "start-interval", "retries")
    flags = arguments.flags(statement, dict.fromkeys(names, "text"))
    kind, _, rest = statement.rest.partition(" ")
    kind, rest = kind.upper(), rest.strip()
    if not kind:
        raise InvalidArgument("HEALTHCHECK requires at least one argument")
    if kind == "NONE":
        if rest or flags:
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return Health(**common, test=("NONE",))
    if kind != "CMD":
        raise InvalidArgument(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not rest:
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    words = arguments.json_words(rest)
    times: dict[str, Any] = {
        name.replace("-", "_"): arguments.duration(name, flags[name]) for name in names[:-1] if name in flags
    }
    return Health(
        **common,
        test=("CMD-SHELL", rest) if words is None else ("CMD", *words),
        **times,
        retries=arguments.count("retries", flags["retries"]) if "retries" in flags else None,
    )


_MAKERS: dict[str, Callable[[Statement, str, dict[str, Any]], Instruction]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _command,
    "COPY": _copy,
    "ENTRYPOINT": _command,
    "ENV": _pairs,
    "EXPOSE": _words,
    "FROM": _from,
    "HEALTHCHECK": _health,
    "LABEL": _pairs,
    "MAINTAINER": _words,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _words,
    "STOPSIGNAL": _words,
    "USER": _words,
    "VOLUME": _words,
    "WORKDIR": _words,
}
