"""``--format``: the part of Go's text/template that people write for Docker, over documents of dicts and lists.

Actions: ``{{.A.B}}``, pipelines, ``if``/``else if``/``else``, ``range``, ``with``, variables, comments, ``{{-`` and
``-}}``. A property that is a Python callable is a method: ``{{.Label "key"}}``.
"""

from __future__ import annotations

from utsuwa.cli.absent import Typed, empty
from utsuwa.cli.template_functions import FUNCTIONS, show, truth
from utsuwa.cli.template_words import Word, actions, words
from utsuwa.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_DEEPEST = 100
"""Nested blocks and parentheses."""


class BadTemplate(Error):
    """The template can't be read; Docker's exit code for that."""

    exit_code = 64

    def __init__(self, message: str) -> None:
        super().__init__(f"template parsing error: template: {message}")


class Failed(Error):
    """The template asks for something that is not there."""

    exit_code = 1


class Template:
    """One parsed template. Raises BadTemplate."""

    def __init__(self, text: str) -> None:
        try:
            self._parts = actions(text)
        except ValueError as error:
            raise BadTemplate(f":{error}") from None
        self._at = 0
        self._depth = 0
        self._body, end = self._block()
        if end:
            raise BadTemplate(f"unexpected {{{{{end}}}}}")

    def render(self, document: Any, functions: Mapping[str, Callable[..., Any]] = FUNCTIONS) -> str:
        """The text for a document. Raises Failed."""
        run = _Run(functions)
        run.names["$"] = document
        try:
            run.body(self._body, document)
        except RecursionError:
            raise Failed("template: nested too deeply") from None
        return "".join(run.out)

    # --- parsing ----------------------------------------------------------------------------------------------------

    def _block(self) -> tuple[list[Any], str]:
        """Nodes up to ``end``, ``else`` or the text's end; which one it was (``else if …`` as a whole)."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadTemplate("nested too deeply")
        nodes: list[Any] = []
        while self._at < len(self._parts):
            text, code = self._parts[self._at]
            self._at += 1
            if code is None:
                nodes.append(("text", text))
                continue
            try:
                tokens = words(code)
            except ValueError as error:
                raise BadTemplate(f":{error}") from None
            first = tokens[0].text if tokens and tokens[0].kind == "name" else ""
            if first in ("end", "else"):
                self._depth -= 1
                return nodes, code.strip()
            if first in ("if", "range", "with"):
                nodes.append(self._control(first, tokens[1:], code))
            elif tokens:
                nodes.append(("show", *_declared(tokens, code)))
            elif code.strip() == "":
                raise BadTemplate(":1: missing value for command")
        self._depth -= 1
        return nodes, ""

    def _control(self, kind: str, tokens: list[Word], code: str) -> tuple[Any, ...]:
        names, pipeline = _declared(tokens, code)
        body, end = self._block()
        other: list[Any] = []
        if end.startswith("else"):
            rest = words(end)[1:]
            if rest:
                other = [self._control(rest[0].text, rest[1:], end)]
                return kind, names, pipeline, body, other
            other, end = self._block()
        if end != "end":
            raise BadTemplate(":1: unexpected EOF")
        return kind, names, pipeline, body, other


def _declared(tokens: list[Word], code: str) -> tuple[tuple[str, ...], list[Any]]:
    """The variables before ``:=`` or ``=``, and the pipeline."""
    names: tuple[str, ...] = ()
    for index, word in enumerate(tokens[:4]):
        if word.kind == "sign" and word.text in (":=", "="):
            names = tuple(each.text for each in tokens[:index] if each.kind == "variable")
            tokens = tokens[index + 1 :]
            break
    pipeline, rest = _pipeline(tokens, code, 0)
    if rest:
        raise BadTemplate(f":1: unexpected {rest[0].text!r} in {code.strip()!r}")
    return names, pipeline


def _pipeline(tokens: list[Word], code: str, depth: int) -> tuple[list[Any], list[Word]]:
    """Commands, each a list of operands, up to a ``)`` or the end; what follows."""
    commands: list[Any] = [[]]
    while tokens and not (tokens[0].kind == "sign" and tokens[0].text == ")"):
        word, tokens = tokens[0], tokens[1:]
        if word.kind == "sign" and word.text == "|":
            commands.append([])
        elif word.kind == "sign" and word.text == "(":
            if depth >= _DEEPEST:
                raise BadTemplate("nested too deeply")
            inner, tokens = _pipeline(tokens, code, depth + 1)
            if not tokens:
                raise BadTemplate(":1: unclosed left paren")
            path, tokens = _path_after(tokens[0], tokens[1:])
            commands[-1].append(("inner", inner, path))
        elif word.kind == "sign":
            raise BadTemplate(f":1: unexpected {word.text!r} in {code.strip()!r}")
        else:
            if word.kind == "name" and word.text not in FUNCTIONS and word.text not in ("true", "false", "nil"):
                raise BadTemplate(f':1: function "{word.text}" not defined')
            commands[-1].append((word.kind, word.text, word.value))
    if not all(commands):
        raise BadTemplate(":1: missing value for command")
    return commands, tokens


def _path_after(closing: Word, tokens: list[Word]) -> tuple[str, list[Word]]:
    """The ``.A.B`` that stands right behind a parenthesis."""
    if tokens and tokens[0].kind == "field" and tokens[0].at == closing.at + 1:
        return tokens[0].text, tokens[1:]
    return "", tokens


class _Run:
    """One rendering."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.out: list[str] = []
        self._functions = functions
        self.names: dict[str, Any] = {}

    def body(self, nodes: list[Any], dot: Any) -> None:
        for node in nodes:
            kind = node[0]
            if kind == "text":
                self.out.append(node[1])
            elif kind == "show":
                value = self.pipeline(node[2], dot)
                if node[1]:
                    self.names[node[1][0]] = value
                else:
                    self.out.append(show(value))
            elif kind == "range":
                self._range(node, dot)
            else:
                self._choose(node, dot)

    def _choose(self, node: tuple[Any, ...], dot: Any) -> None:
        kind, names, pipeline, body, other = node
        value = self.pipeline(pipeline, dot)
        for name in names:
            self.names[name] = value
        if truth(value):
            self.body(body, value if kind == "with" else dot)
        else:
            self.body(other, dot)

    def _range(self, node: tuple[Any, ...], dot: Any) -> None:
        _kind, names, pipeline, body, other = node
        value = self.pipeline(pipeline, dot)
        if isinstance(value, dict):
            pairs = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise Failed(f"template: range can't iterate over {show(value)}")
        for key, item in pairs:
            for name, part in zip(names, (key, item) if len(names) == 2 else (item,), strict=False):
                self.names[name] = part
            self.body(body, item)
        if not pairs:
            self.body(other, dot)

    def pipeline(self, commands: list[Any], dot: Any) -> Any:
        value: Any = None
        for index, operands in enumerate(commands):
            value = self._command(operands, dot, [value] if index else [])
        return value

    def _command(self, operands: list[Any], dot: Any, last: list[Any]) -> Any:
        kind, text, _ = operands[0]
        given = [self._operand(each, dot) for each in operands[1:]] + last
        if kind == "name" and text in FUNCTIONS:
            try:
                return self._functions[text](*given)
            except (TypeError, AttributeError):
                raise Failed(f"template: error calling {text}: wrong arguments") from None
            except (ValueError, LookupError, OverflowError) as error:
                detail = error.args[0] if error.args else "wrong arguments"
                raise Failed(f"template: error calling {text}: {detail}") from None
        value = self._operand(operands[0], dot, given)
        if given and kind not in ("field", "variable"):
            raise Failed("template: can't give arguments to what is no function")
        return value

    def _operand(self, operand: tuple[Any, ...], dot: Any, given: list[Any] | None = None) -> Any:
        kind, text, value = operand
        if kind == "inner":
            return _follow(self.pipeline(text, dot), value, [])
        if kind == "field":
            return _follow(dot, text, given or [])
        if kind == "variable":
            name, point, path = text.partition(".")
            if name not in self.names:
                raise Failed(f'template: undefined variable "{name}"')
            return _follow(self.names[name], point + path, given or [])
        if kind == "name":
            if text in FUNCTIONS:
                return self._command([operand], dot, [])
            return {"true": True, "false": False, "nil": None}[text]
        return value


def _follow(value: Any, path: str, given: list[Any]) -> Any:
    """The property at ``.A.B``; ``given`` are the arguments of the last one, if that is a method."""
    for key in filter(None, path.split(".")):
        if value is None:
            raise Failed(f'template: :1: executing "" at <{path}>: nil pointer evaluating interface {{}}.{key}')
        if isinstance(value, Typed) and key not in value and key in value.absent:
            value = value.absent[key]
            continue
        if not isinstance(value, dict) or key not in value:
            raise Failed(f'template: :1: executing "" at <{path}>: map has no entry for key "{key}"')
        found = value[key]
        value = empty(key) if found is None else found
        if callable(value):
            try:
                value, given = value(*given), []
            except TypeError:
                raise Failed(f'template: :1: executing "" at <{path}>: wrong number of args for {key}') from None
    if given:
        raise Failed(f'template: :1: executing "" at <{path}>: {path} is not a method but has arguments')
    return value
