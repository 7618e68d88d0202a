"""Paths in hostile trees, owners, modes, mounts, the graph of stages."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from utsuwa.build import mounts, owners, places
from utsuwa.build.fault import Fault, StepFailed
from utsuwa.build.graph import Graph
from utsuwa.build.parser import parse
from utsuwa.build.request import BuildRequest
from utsuwa.errors import InvalidArgument
from utsuwa.snapshot.merged import Merged


@pytest.fixture
def layers(tmp_path: Path) -> Merged:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        (layer / "etc").mkdir(parents=True)
    (lower / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:7:8::/:\n")
    (lower / "etc/group").write_text("root:x:0:\nstaff:x:50:\n")
    (lower / "up").symlink_to("../../../..")
    (lower / "out").symlink_to(tmp_path)
    (lower / "round").symlink_to("round")
    (upper / "etc/alias").symlink_to("/up/etc/passwd")
    return Merged.of([str(upper), str(lower)])


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/etc/passwd", b"etc/passwd"),
        ("etc/../../etc/./passwd", b"etc/passwd"),
        ("/etc/alias", b"etc/passwd"),
        ("/up/up/etc", b"etc"),
        ("/new/../x", b"x"),
        ("/", b""),
    ],
)
def test_where_paths_lead(layers: Merged, path: str, where: bytes) -> None:
    with layers, places.find(layers, places.split(path)) as found:
        assert b"/".join(found.path) == where


def test_nothing_leads_out(layers: Merged, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with layers:
        with places.find(layers, places.split("/out/secret")) as found:
            assert found.state is None
            assert b"/".join(found.path) == f"{tmp_path}/secret".encode()[1:]
        with pytest.raises(InvalidArgument):
            places.find(layers, places.split("/round/x"))


def test_owners(layers: Merged) -> None:
    with layers:
        found = [owners.owner(text, layers) for text in ("web", "web:staff", "5", "5:6", ":6", "web:9")]
        assert found == [(7, 8), (7, 50), (5, 5), (5, 6), (0, 6), (7, 9)]
        for text in ("nobody", "web:nobody", "99999999999"):
            with pytest.raises(InvalidArgument):
                owners.owner(text, layers)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("755", 0o600, 0o755),
        ("4755", 0o600, 0o4755),
        ("u+x", 0o644, 0o744),
        ("go-r,u=rw", 0o755, 0o611),
        ("a+X", 0o644, 0o644),
        ("a+X", stat.S_IFDIR | 0o644, 0o755),
        ("+t", 0o755, 0o1755),
    ],
)
def test_modes(text: str, before: int, after: int) -> None:
    assert owners.mode(text)(before) == after


@pytest.mark.parametrize("text", ["999", "", "u+q", "77777", "x"])
def test_modes_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        owners.mode(text)


def test_mounts() -> None:
    def read(text: str) -> mounts.RunMount:
        return mounts.parse(text, str.upper if "$" in text else str, lambda path: f"/{path.lstrip('/')}")

    cache = read("type=cache,dst=x,sharing=locked,mode=0700,uid=5,ro")
    assert (cache.target, cache.id, cache.sharing, cache.mode, cache.uid) == ("/x", "/x", "locked", 0o700, 5)
    assert not cache.writable
    assert read("type=secret,id=a/b").target == "/run/secrets/b"
    assert read("target=/y").type == "bind"
    for wrong in ("type=odd,target=/x", "type=cache", "target=/x,odd=1", "type=tmpfs,target=/x,id=y", "target=/"):
        with pytest.raises(InvalidArgument):
            read(wrong)
    agent = read("type=ssh,required,uid=5")
    assert (agent.id, agent.target, agent.required, agent.uid) == ("default", "", True, 5)


def graph(text: str, **given: str) -> Graph:
    return Graph(parse(text.encode()), BuildRequest(context="/", dockerfile=b"", arguments=given))


def test_stages_that_are_needed() -> None:
    text = """ARG N=1
FROM scratch AS a
FROM a AS b
FROM busybox:$N AS c
COPY --from=a / /
FROM scratch AS d
RUN --mount=type=bind,from=b,target=/x true
COPY --from=0 / /
"""
    found = graph(text, N="2")
    assert found.bases[2][0] == "busybox:2"
    assert [stage.base.alias for stage in found.order(found.target(""))] == ["a", "b", "d"]
    assert [stage.base.alias for stage in found.order(found.target("C"))] == ["a", "c"]
    with pytest.raises(StepFailed, match='target stage "e" could not be found'):
        found.target("e")
    loop = graph("FROM scratch AS a\nCOPY --from=a / /\n")
    with pytest.raises(Fault, match="circular"):
        loop.order(loop.target(""))
    with pytest.raises(Fault, match="should not be blank"):
        graph("FROM $NO\n")
