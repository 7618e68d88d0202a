"""Image names: Docker's normalisation, and what its grammar refuses."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec import reference

SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/library/debian", "docker.io/library/debian", "debian"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/debian", "localhost:5000/debian", "localhost:5000/debian"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("quay.io/a__b/c-d--e.f:V1.0_x", "quay.io/a__b/c-d--e.f:V1.0_x", "quay.io/a__b/c-d--e.f:V1.0_x"),
        ("UPPER/app", "UPPER/app", "UPPER/app"),
        (f"debian@sha256:{SHA}", f"docker.io/library/debian@sha256:{SHA}", f"debian@sha256:{SHA}"),
        (f"r.io/a:1@sha256:{SHA}", f"r.io/a:1@sha256:{SHA}", f"r.io/a:1@sha256:{SHA}"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
    ],
)
def test_names_are_normalised_as_docker_does(text: str, whole: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert (str(parsed), parsed.familiar()) == (whole, familiar)
    assert reference.parse(parsed.familiar()) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "/a",
        "a/",
        "a//b",
        "A",
        "lower/Upper",
        "a:",
        "a:-x",
        "a:.x",
        f"a:{'t' * 129}",
        "a b",
        "a_",
        "-a",
        "a___b",
        "a..b",
        "a@sha256:12",
        "a@md5:" + "0" * 32,
        f"a@sha256:{SHA.upper()}",
        "a:1:2/b",
        "-host.io/a",
        "host-.io/a",
        "host.io:x/a",
        "host.io:/a",
        "[::1/a",
        SHA,
        "é",
        "../etc",
        "a/../b",
        f"r.io/{'x' * 251}",
        "http://r.io/a",
        "a\n",
        "a.io:99999/x",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        reference.parse(text)


def test_the_tag_defaults_to_latest_only_without_a_digest() -> None:
    assert str(reference.parse("a").tagged()) == "docker.io/library/a:latest"
    assert reference.parse("a").target == "latest"
    by_digest = reference.parse(f"a:1@sha256:{SHA}")
    assert by_digest.tagged() is by_digest
    assert by_digest.target == f"sha256:{SHA}"
