"""Checks of how a Dockerfile is written: the case of keywords, names of stages, old forms, gaps."""

from __future__ import annotations

from utsuwa.build.checks import Warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.build.instructions import Dockerfile
    from utsuwa.build.reader import Statement

_RESERVED = ("context", "scratch")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")
_SECRETS = frozenset(
    ("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token")
)


def check_names(dockerfile: Dockerfile) -> Iterator[Warning]:
    """What is found in the statements, one by one and side by side."""
    statements = dockerfile.source.statements
    yield from _casing(statements)
    yield from _stages(statements)
    yield from _repeated(dockerfile)
    for statement in statements:
        if statement.has_gap:
            yield Warning(
                rule="NoEmptyContinuation", text="Empty continuation line", first=statement.last, last=statement.last
            )
        if statement.keyword == "MAINTAINER":
            text = "Maintainer instruction is deprecated in favor of using label"
            yield found("MaintainerDeprecated", text, statement)
        if statement.keyword in ("ENV", "LABEL") and "=" not in statement.rest.split(None, 1)[0]:
            form = statement.keyword
            text = f'"{form} key=value" should be used instead of legacy "{form} key value" format'
            yield found("LegacyKeyValueFormat", text, statement)


def found(rule: str, text: str, statement: Statement) -> Warning:
    """A warning about a statement as a whole."""
    return Warning(rule=rule, text=text, first=statement.first, last=statement.last)


def looks_secret(name: str) -> bool:
    """Whether a variable is called as secrets are: a word of its name says so, and none that it is public."""
    words = name.lower().split("_")
    return bool(_SECRETS.intersection(words)) and "public" not in words


def _casing(statements: list[Statement]) -> Iterator[Warning]:
    lower = sum(statement.word.islower() for statement in statements)
    upper = sum(statement.word.isupper() for statement in statements)
    majority = "lowercase" if lower > upper else "uppercase"
    for statement in statements:
        word = statement.word
        if not (word.islower() if majority == "lowercase" else word.isupper()):
            text = f"Command '{word}' should match the case of the command majority ({majority})"
            yield found("ConsistentInstructionCasing", text, statement)


def _stages(statements: list[Statement]) -> Iterator[Warning]:
    known: set[str] = set()
    for statement in statements:
        words = statement.rest.split()
        if statement.keyword != "FROM" or len(words) != 3:
            continue
        keyword, name = words[1:]
        if statement.word.islower() != keyword.islower() or statement.word.isupper() != keyword.isupper():
            text = f"'{keyword}' and '{statement.word}' keywords' casing do not match"
            yield found("FromAsCasing", text, statement)
        if name != name.lower():
            yield found("StageNameCasing", f"Stage name '{name}' should be lowercase", statement)
        if name.lower() in _RESERVED:
            text = f'Stage name should not use the same name as reserved stage "{name}"'
            yield found("ReservedStageName", text, statement)
        if name.lower() in known:
            text = f'Duplicate stage name "{name}", stage names should be unique'
            yield found("DuplicateStageName", text, statement)
        known.add(name.lower())


def _repeated(dockerfile: Dockerfile) -> Iterator[Warning]:
    for stage in dockerfile.stages:
        for keyword in _ONCE:
            several = [each for each in stage.instructions if each.keyword == keyword]
            for each in several[:-1]:
                text = (
                    f"Multiple {keyword} instructions should not be used in the same stage because only the last one "
                    "will be used"
                )
                yield Warning(rule="MultipleInstructionsDisallowed", text=text, first=each.first, last=each.last)
