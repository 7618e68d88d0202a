"""The text of a Dockerfile becomes instructions, or a complaint with the line."""

from __future__ import annotations

import pytest

from utsuwa.build.fault import Fault, excerpt
from utsuwa.build.instructions import Arg, Command, Copy, Health, Instruction, Pairs, Trigger, Words
from utsuwa.build.parser import parse
from utsuwa.errors import Unsupported


def only(line: str) -> Instruction:
    """The one instruction after FROM."""
    return parse(f"FROM scratch\n{line}".encode()).stages[0].instructions[0]


def test_continuations_comments_and_blank_lines() -> None:
    found = parse(b"\xef\xbb\xbf# hi\r\nfrom a AS B\r\n  # no\nRUN x \\  \n # inside\n\n  y \\\n z\n#end\nRUN w")
    first, second = found.stages[0].instructions
    assert isinstance(first, Command)
    assert isinstance(second, Command)
    assert (found.stages[0].base.image, found.stages[0].base.alias) == ("a", "b")
    assert (first.words, first.first, first.last) == (("x   y  z",), 4, 8)
    assert (second.words, second.first) == (("w",), 10)


def test_another_escape() -> None:
    found = parse(b"# escape=`\nFROM x\nRUN a `\n b \\\nRUN c")
    assert [each.text for each in found.stages[0].instructions] == ["RUN a  b \\", "RUN c"]


def test_here_documents() -> None:
    copy, run, bare = (
        parse(b"FROM x\nCOPY <<A <<-'B' f /d/\none $x\nA\n\ttwo\n\tB\nRUN cat <<E > /f\n#!no\nE\nRUN echo '<<X'\n")
        .stages[0]
        .instructions
    )
    assert isinstance(copy, Copy)
    assert isinstance(run, Command)
    assert isinstance(bare, Command)
    assert (copy.sources, copy.target) == (("f",), "/d/")
    assert [(each.name, each.expand, each.content) for each in copy.documents] == [
        ("A", True, "one $x\n"),
        ("B", False, "two\n"),
    ]
    assert [each.content for each in run.documents] == ["#!no\n"]
    assert bare.documents == ()


def test_forms() -> None:
    run, broken = only('RUN ["a", "b c"]'), only("CMD ['a']")
    assert isinstance(run, Command)
    assert isinstance(broken, Command)
    assert (run.words, run.shell) == (("a", "b c"), False)
    assert (broken.words, broken.shell) == (("['a']",), True)
    env, old = only('ENV A=1 B="x y" C=a\\ b'), only("ENV A b  c")
    assert isinstance(env, Pairs)
    assert isinstance(old, Pairs)
    assert env.pairs == (("A", "1"), ("B", '"x y"'), ("C", "a\\ b"))
    assert old.pairs == (("A", "b  c"),)
    arg = only("ARG A B=2")
    assert isinstance(arg, Arg)
    assert arg.pairs == (("A", None), ("B", "2"))
    volume, trigger = only('VOLUME ["/a b", "/c"]'), only("ONBUILD COPY . /x")
    assert isinstance(volume, Words)
    assert isinstance(trigger, Trigger)
    assert volume.words == ("/a b", "/c")
    assert trigger.trigger == "COPY . /x"


def test_flags() -> None:
    copy = only("COPY --chown=1:2 --chmod=u+x --from=b --parents --exclude=*.a --exclude=b --link a b /c/")
    assert isinstance(copy, Copy)
    assert (copy.owner, copy.mode, copy.source_stage, copy.parents) == ("1:2", "u+x", "b", True)
    assert copy.excludes == ("*.a", "b")
    run = only("RUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y --network=none -- --x")
    assert isinstance(run, Command)
    assert (run.mounts, run.network) == (("type=cache,target=/x", "type=tmpfs,target=/y"), "none")
    assert run.words == ("--x",)


def test_healthcheck() -> None:
    health = only("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl x")
    assert isinstance(health, Health)
    assert (health.interval, health.timeout, health.retries) == (90 * 10**9, 5 * 10**8, 3)
    assert health.test == ("CMD-SHELL", "curl x")
    none = only("HEALTHCHECK NONE")
    assert isinstance(none, Health)
    assert none.test == ("NONE",)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("FOO x", 1, "unknown instruction: FOO"),
        ("FROM x\nCOPPY a b", 2, "unknown instruction: COPPY (did you mean COPY?)"),
        ("FROM a b", 1, "FROM requires either one or three arguments"),
        ("RUN x", 1, "no build stage in current context"),
        ("FROM x\nCOPY a", 2, "COPY requires at least two arguments, but only one was provided"),
        ("FROM x\n\nRUN <<EOF\na\n", 3, "unterminated heredoc"),
        ("FROM x\nCOPY --frm=x a b", 2, "unknown flag: --frm (did you mean --from?)"),
        ("FROM x\nCOPY --from a b c", 2, "missing a value on flag: --from"),
        ("FROM x\nENV a", 2, "ENV must have two arguments"),
        ("FROM x\nLABEL a=b c", 2, "can't find = in 'c'"),
        ("FROM x\nENV =b", 2, "ENV names can not be blank"),
        ("FROM x\nHEALTHCHECK X", 2, 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("FROM x\nHEALTHCHECK --interval=1x CMD a", 2, 'invalid duration "1x"'),
        ("FROM x\nSHELL a b", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM x\nONBUILD ONBUILD RUN a", 2, "isn't allowed"),
        ("FROM x\nONBUILD FROM a", 2, "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM x\nWORKDIR", 2, "WORKDIR requires exactly one argument"),
        ("FROM x\nRUN --network=odd a", 2, "invalid network mode"),
        ("FROM x AS 1", 1, 'invalid name for build stage: "1"'),
        ("# escape=x\nFROM y", 1, "invalid escape token 'x'"),
        ("FROM x\nCOPY --from=$y a b", 2, "variable expansion is not supported for --from"),
    ],
)
def test_complaints(text: str, line: int, problem: str) -> None:
    with pytest.raises(Fault) as failure:
        parse(text.encode())
    assert (failure.value.first, problem in str(failure.value)) == (line, True), str(failure.value)
    assert f"dockerfile parse error on line {line}: " in str(failure.value)


def test_an_empty_file_and_a_frontend() -> None:
    with pytest.raises(Fault):
        parse(b"# nothing\n")
    assert parse(b"# syntax=docker/dockerfile:1.7-labs\nFROM x").stages
    with pytest.raises(Unsupported):
        parse(b"# syntax=example/odd\nFROM x")


def test_the_lines_around_a_fault() -> None:
    shown = excerpt("Dockerfile", "a\nb\nc\nd\ne\nf\ng", 5, 5)
    assert shown.splitlines()[2] == "   2 |     b"
    assert "   5 | >>> e" in shown
