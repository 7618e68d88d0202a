"""``--format``: Go's templates as Docker's users write them."""

from __future__ import annotations

import pytest

from utsuwa.cli.absent import typed
from utsuwa.cli.listing import formatted, table
from utsuwa.cli.template import BadTemplate, Failed, Template

DOCUMENT = {
    "State": {"Status": "running", "ExitCode": 0, "Running": True},
    "Labels": {"b": "2", "a": "1"},
    "Env": ["A=1", "B=2"],
    "None": None,
    "Empty": [],
    "Label": lambda key: {"a": "1"}.get(key, ""),
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "running true 0"),
        ("{{json .Env}} {{.Env | json}}", '["A=1","B=2"] ["A=1","B=2"]'),
        ("{{.Labels}} {{.Env}} {{.None}}", "map[a:1 b:2] [A=1 B=2] <no value>"),
        ("{{range .Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
        ("{{range $key, $value := .Labels}}{{$key}}={{$value}};{{end}}", "a=1;b=2;"),
        ("{{range $index, $_ := .Env}}{{$index}}{{end}}", "01"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .None}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"),
        ('{{if and .State.Running (eq .State.Status "running" "paused")}}up{{end}}', "up"),
        ("{{if not .Env}}x{{end}}{{if or .None .Env}}y{{end}}", "y"),
        ("{{with .State}}{{.Status}}{{$.None}}{{end}}{{with .None}}x{{else}}y{{end}}", "running<no value>y"),
        ('{{index .Env 0}} {{index .Labels "b"}} {{len .Env}} {{(index .Env 1)}}', "A=1 2 2 B=2"),
        ('{{join .Env ","}} {{upper "a"}} {{title "a b"}} {{lower "A"}} {{slice "abcd" 1 3}}', "A=1,B=2 A A B a bc"),
        ('{{printf "%s|%5d|%-3s|%q|%v|%t|%%" "a" 7 "b" "c" .Env true}}', 'a|    7|b  |"c"|[A=1 B=2]|true|%'),
        ("a  {{- /* note */ -}}  b", "ab"),
        ('{{"}}"}}{{`\\n`}}', "}}\\n"),
        ("{{$x := .State.Status}}{{$x}} {{$x}}", "running running"),
        ('{{.Label "a"}}{{lt 1 2}}{{ge 1 2}}{{ne 1 2}}', "1truefalsetrue"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert Template(template).render(DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.State", ":1: unclosed action"),
        ("a\n{{.State", ":2: unclosed action"),
        ('{{"x}}', ":1: unterminated quoted string"),
        ("{{nosuch 1}}", 'function "nosuch" not defined'),
        ("{{if .A}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{.A | }}", "missing value for command"),
        ("{{(.A}}", "unclosed left paren"),
        ("{{.A)}}", "unexpected ')'"),
        ("{{" + "(" * 500 + "1" + ")" * 500 + "}}", "nested too deeply"),
        ("{{if .A}}" * 500, "nested too deeply"),
    ],
)
def test_what_is_no_template(template: str, message: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        Template(template)
    assert message in str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nope}}", 'at <.Nope>: map has no entry for key "Nope"'),
        ("{{.None.X}}", "nil pointer evaluating interface {}.X"),
        ("{{index .Env 9}}", "error calling index: index out of range: 9"),
        ("{{upper .Env}}", "error calling upper: wrong arguments"),
        ("{{range .State.Status}}{{end}}", "range can't iterate over running"),
        ("{{.Env 1}}", ".Env is not a method but has arguments"),
        ("{{$nope}}", 'undefined variable "$nope"'),
        ('{{printf "%999999999s" "x"}}', "is too large"),
    ],
)
def test_what_is_not_there(template: str, message: str) -> None:
    with pytest.raises(Failed) as caught:
        Template(template).render(DOCUMENT)
    assert message in str(caught.value)


def test_tables() -> None:
    assert table(("A", "B"), [("x", "y")]) == "A         B\nx         y"
    assert table(("A", "B"), [("0123456789", "y")]) == "A            B\n0123456789   y"
    header = {"Name": "NAME", "Size": "SIZE", "Label": None}
    rows = [{"Name": "n", "Size": "1B", "Label": lambda key: key * 2}]
    assert formatted("{{.Name}}\\t{{.Size}}", header, rows) == "n\t1B"
    assert formatted("table {{.Name}}\\t{{.Size}}", header, rows) == "NAME      SIZE\nn         1B"
    assert formatted('table {{upper .Name}}\\t{{.Label "k"}}', header, rows) == "NAME      k\nN         kk"
    assert formatted("json", header, rows) == '{"Name":"n","Size":"1B"}'
    assert formatted("table {{.Name}}", header, []) == "NAME"


def test_what_has_a_type_but_no_value() -> None:
    document = {"State": {"Status": "up"}, "HostConfig": {"Binds": None, "Init": None}, "Config": {"Labels": None}}

    def show(text: str) -> str:
        return Template(text).render(typed(document))

    assert show("{{.State.Health}} {{.SizeRw}} {{.HostConfig.Binds}} {{.Config.Labels}} {{.Config.Volumes}}") == (
        "<nil> <nil> [] map[] map[]"
    )
    assert show("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}{{len .HostConfig.Binds}}") == "none0"
    assert show("{{json .State.Health}}{{json .HostConfig.Binds}}{{json .State}}") == 'nullnull{"Status":"up"}'
    with pytest.raises(Failed, match="no entry"):
        show("{{.State.Labels}}")
    with pytest.raises(Failed):
        show("{{.State.Health.Status}}")
