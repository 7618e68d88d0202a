"""Platforms: spelling, this host, and which of several images fits."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec import platform
from utsuwa.spec.platform import Platform

V2 = ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"]
V3 = [*V2, *["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AARCH64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("s390x", "linux/s390x"),
    ],
)
def test_spelling(text: str, spelled: str) -> None:
    assert str(platform.parse(text)) == spelled


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux//x", "lin ux/amd64", "linux/", "toaster"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        platform.parse(text)


@pytest.mark.parametrize(("flags", "variant"), [([], ""), (V2, "v2"), (V3, "v3")])
def test_the_host_knows_its_level(flags: list[str], variant: str) -> None:
    assert platform.host("x86_64", flags) == Platform(os="linux", architecture="amd64", variant=variant)


def _choice(wanted: str, *offers: str | None) -> int | None:
    return platform.choose(platform.parse(wanted), [platform.parse(each) if each else None for each in offers])


def test_the_best_of_several_is_chosen() -> None:
    assert _choice("linux/amd64/v3", "linux/arm64", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4") == 2
    assert _choice("linux/arm/v7", "linux/arm/v5", "linux/arm/v6", "linux/arm64") == 1
    assert _choice("linux/arm64", "linux/arm/v7", "linux/amd64") == 0
    assert _choice("linux/amd64", "linux/386", None) == 0
    assert _choice("linux/amd64", "linux/arm64", None) == 1
    assert _choice("linux/amd64", "linux/amd64", "linux/amd64") == 0
    assert _choice("linux/arm/v6", "linux/arm/v7") is None
    assert _choice("linux/amd64") is None


def test_attestations_are_never_chosen() -> None:
    unknown = Platform(os="unknown", architecture="unknown")
    assert platform.choose(platform.parse("linux/amd64"), [unknown]) is None
