"""docs/commands.md says which flags each verb has, and which of Docker's it refuses; both are held true here.

``UTSUWA_GOLDEN_UPDATE=1`` writes the flags of new verbs and options down, and takes what is supported now from what is
refused.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import needs
from utsuwa.cli.flags import Option
from utsuwa.cli.group import Group, load
from utsuwa.cli.main import VERBS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "commands.md"
ROW = re.compile(r"^\| `(?P<verb>[a-z ]+)` \| (?P<flags>.*?) ?\| (?P<refused>.*?) ?\|$", re.M)
FLAG = re.compile(r"`--([a-z0-9-]+)`")


def verbs() -> Iterator[tuple[str, tuple[Option, ...]]]:
    """Every verb with its options, those of nouns included; of several names of one verb the shortest."""
    for name in sorted(VERBS):
        verb = load(name).VERB
        if not isinstance(verb, Group):
            yield name, getattr(verb, "options", ())
            continue
        seen = set()
        for inner, (place, *_) in sorted(verb.verbs.items(), key=lambda pair: (len(pair[0]), pair[0])):
            if place not in VERBS and place not in seen:
                seen.add(place)
                yield f"{name} {inner}", load(place).VERB.options


def shown(options: tuple[Option, ...]) -> str:
    words = (f"`--{each.name}`" + (f" `-{each.letter}`" if each.letter else "") for each in options)
    return ", ".join(sorted(words))


def rows() -> dict[str, tuple[str, str]]:
    found = ROW.finditer(DOCUMENT.read_text())
    return {match["verb"]: (match["flags"], match["refused"]) for match in found}


def update() -> None:
    known = rows()
    lines = []
    for verb, options in verbs():
        names = {option.name for option in options}
        refused = known.get(verb, ("", ""))[1]
        parts = []
        for part in refused.split("; ") if refused else ():
            flags, colon, why = part.partition(": ")
            kept = [flag for flag in flags.split(", ") if flag.strip("`-") not in names]
            if kept:
                parts.append(f"{', '.join(kept)}{colon}{why}")
        lines.append(f"| `{verb}` | {shown(options)} | {'; '.join(parts)} |".replace("  ", " "))
    text = DOCUMENT.read_text()
    start, end = text.index("| `"), text.rindex("|\n") + 2
    DOCUMENT.write_text(text[:start] + "\n".join(lines) + "\n" + text[end:])


if os.environ.get("UTSUWA_GOLDEN_UPDATE"):
    update()


def test_every_verb_and_its_flags_are_there() -> None:
    assert {verb: flags for verb, (flags, _) in rows().items()} == {verb: shown(options) for verb, options in verbs()}


def test_what_is_refused_is_refused() -> None:
    written = rows()
    wrong = {
        verb: sorted({option.name for option in options}.intersection(FLAG.findall(written[verb][1])))
        for verb, options in verbs()
        if verb in written
    }
    assert {verb: names for verb, names in wrong.items() if names} == {}


@needs("docker")
@pytest.mark.parametrize("verb", [verb for verb in rows() if verb not in ("recover", "completion")])
def test_no_flag_of_dockers_is_forgotten(verb: str) -> None:
    told = subprocess.run(["docker", *verb.split(), "--help"], capture_output=True, text=True, check=False).stdout
    if f"docker {verb}" not in told:
        pytest.skip(f"this client has no docker {verb}")
    dockers = set(re.findall(r"^\s+(?:-\w, )?--([\w-]+)", told, re.M)) - {"help"}
    assert dockers <= set(FLAG.findall(" ".join(rows()[verb])))


BUILDX = """
add-host allow annotation attest build-arg build-context builder cache-from cache-to call cgroup-parent check file
iidfile label load metadata-file network no-cache no-cache-filter output platform progress provenance pull push quiet
sbom secret shm-size ssh tag target ulimit
"""


def test_no_flag_of_buildx_is_forgotten() -> None:
    """Docker's newer builder is a plugin that this machine may not have; its flags are kept here."""
    known = {option.name for option in dict(verbs())["build"]}
    assert set(BUILDX.split()) - known == set()
