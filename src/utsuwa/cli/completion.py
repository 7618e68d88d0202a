"""`utsuwa completion`: what a shell needs to complete our command lines (docker completion).

The scripts are a few lines: they ask ``utsuwa completion words`` for what may stand where the cursor is, so that verbs,
options and the names of containers, images, volumes and networks are those that there are.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from utsuwa.cli.flags import SWITCH, BadUsage, operands
from utsuwa.cli.global_flags import OPTIONS as GLOBAL
from utsuwa.cli.group import Group, load
from utsuwa.cli.house import Verb
from utsuwa.cli.main import VERBS
from utsuwa.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.cli.flags import Option

VERB = Verb(
    "completion SHELL",
    "Generate the autocompletion script for the specified shell (bash, zsh or fish)",
    least=1,
)
_SCRIPTS = {
    "bash": """\
# utsuwa completion bash > /etc/bash_completion.d/utsuwa
_utsuwa() {
    local IFS=$'\\n'
    COMPREPLY=($(utsuwa completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [ "${#COMPREPLY[@]}" = 1 ] && [ "${COMPREPLY[0]: -1}" = : ] && compopt -o nospace
    __ltrim_colon_completions "${COMP_WORDS[COMP_CWORD]}" 2>/dev/null
}
complete -o default -F _utsuwa utsuwa
""",
    "zsh": """\
#compdef utsuwa
# utsuwa completion zsh > "${fpath[1]}/_utsuwa"
_utsuwa() {
    local -a found
    found=("${(@f)$(utsuwa completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [ -n "$found" ]; then compadd -- $found; else _files; fi
}
compdef _utsuwa utsuwa
""",
    "fish": """\
# utsuwa completion fish > ~/.config/fish/completions/utsuwa.fish
function __utsuwa
    set -l typed (commandline -opc) (commandline -ct)
    utsuwa completion words $typed[2..-1] 2>/dev/null
end
complete -c utsuwa -a '(__utsuwa)'
""",
}
_RUNNING = ("attach", "exec", "kill", "pause", "stop", "top", "stats")
_STOPPED = ("start",)
_VALUES = {
    "network": lambda: [*_networks(), "none", "host"],
    "net": lambda: [*_networks(), "none", "host"],
    "volumes-from": lambda: _containers("volumes-from"),
    "pull": lambda: ["always", "missing", "never"],
    "restart": lambda: ["always", "no", "on-failure", "unless-stopped"],
    "log-driver": lambda: ["json-file", "none"],
    "type": lambda: ["container", "image", "volume"],
    "signal": lambda: ["HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"],
}
"""Options whose values can be named."""


def run(words: list[str]) -> int:
    """Print a shell's script, or for it (``words …``) a candidate a line."""
    if words[:1] == ["words"]:
        for candidate in candidates(words[1:] or [""]):
            print(candidate)
        return 0
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    script = _SCRIPTS.get(arguments.words[0])
    if script is None or len(arguments.words) > 1:
        raise BadUsage(f"completion is there for {', '.join(_SCRIPTS)}")
    print(script, end="")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What the last of ``words``, typed in part, may become; none where anything goes (a file's name, a command)."""
    *before, typed = words
    try:
        found = _after(before, typed)
    except Error:  # a store that can't be read offers nothing
        found = []
    return sorted({each for each in found if each.startswith(typed)})


def _after(before: list[str], typed: str) -> list[str]:
    at = 0
    while at < len(before) and before[at].startswith("-"):
        at += 1 + _takes_next(GLOBAL, before[at])
    if at >= len(before):
        return _options(GLOBAL) if typed.startswith("-") else list(VERBS)
    name, *rest = before[at:]
    if name not in VERBS:
        return []
    verb = load(name).VERB
    if isinstance(verb, Group):
        if not rest:
            return list(verb.verbs)
        if rest[0] not in verb.verbs:
            return []
        name, *rest = verb.verbs[rest[0]][0], *rest[1:]
        verb = load(name).VERB
    return _of_verb(name, verb, rest, typed) if isinstance(verb, Verb) else []


def _of_verb(name: str, verb: Verb, before: list[str], typed: str) -> list[str]:
    """The options of a verb, the values of one, or what its next operand may be."""
    position = at = 0
    while at < len(before):
        if not before[at].startswith("-"):
            position += 1
            at += 1
            continue
        step = 1 + _takes_next(verb.options, before[at])
        if at + step > len(before):  # the value of this option is what is being typed
            values = _VALUES.get(_named(verb.options, before[at]))
            return values() if values else []
        at += step
    if typed.startswith("-"):
        return _options(verb.options)
    return _operand(name, operands(verb.usage).replace("[OPTIONS]", "").split(), position)


def _operand(name: str, wanted: list[str], position: int) -> list[str]:
    if name == "cp":
        return [f"{each}:" for each in _containers()] if position < 2 else []
    word = wanted[min(position, len(wanted) - 1)] if wanted else ""
    if position >= len(wanted) and not word.endswith("...]"):
        return []
    for noun, names in _NOUNS.items():
        if noun in word:
            return _containers(name) if noun == "CONTAINER" else names()
    return list(_SCRIPTS) if word == "SHELL" else []


# --- options --------------------------------------------------------------------------------------------------------


def _options(table: Sequence[Option]) -> list[str]:
    return [f"--{option.name}" for option in table] + ["--help"]


def _find(table: Sequence[Option], word: str) -> Option | None:
    name, letter = (word[2:], "") if word.startswith("--") else ("", word[-1:])
    return next((each for each in table if each.name == name or (letter and each.letter == letter)), None)


def _named(table: Sequence[Option], word: str) -> str:
    option = _find(table, word)
    return option.name if option else ""


def _takes_next(table: Sequence[Option], word: str) -> bool:
    """The option's value is the next word."""
    option = _find(table, word) if "=" not in word else None
    return option is not None and option.kind != SWITCH


# --- names ----------------------------------------------------------------------------------------------------------


def _lines(verb: str, *words: str) -> list[str]:
    """What a verb of ours prints."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        load(verb).run(list(words))
    return out.getvalue().split()


def _containers(verb: str = "") -> list[str]:
    if verb in _STOPPED:
        return _lines("ps", "--format", "{{.Names}}", *(f"-fstatus={each}" for each in ("created", "exited")))
    return _lines("ps", *(() if verb in _RUNNING else ("-a",)), "--format", "{{.Names}}")


def _images() -> list[str]:
    found = [name for name in _lines("images", "--format", "{{.Repository}}:{{.Tag}}") if "<none>" not in name]
    return [*found, *(name.removesuffix(":latest") for name in found)]


def _volumes() -> list[str]:
    return _lines("volume_ls", "-q")


def _networks() -> list[str]:
    return _lines("network_ls", "--format", "{{.Name}}") if "network" in VERBS else []


_NOUNS: dict[str, Callable[[], list[str]]] = {
    "CONTAINER": _containers,
    "IMAGE": _images,
    "VOLUME": _volumes,
    "NETWORK": _networks,
    "NAME|ID": lambda: [*_containers(), *_images()],
}
"""Words of a verb's usage -> what may stand there."""
