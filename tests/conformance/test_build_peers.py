"""The same Dockerfile built by buildah and by utsuwa: the same files, the same configuration."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "buildah")]

DOCKERFILE = f"""ARG BASE={IMAGE}
FROM $BASE AS first
ENV A=1 B="x y" C=$A D=a\\ b E='$A'
ENV F=${{A:-z}}${{NO:-w}} G=${{A:+p}}
ARG Q=d$A
RUN mkdir /d && touch /d/f && ln -s f /d/l && chmod 700 /d && echo $Q >/q
RUN rm /d/f; mkdir /e && rm -r /e \\
    # a comment
    && echo "$B" >/tmp/q
FROM first
WORKDIR /a/b
WORKDIR c
COPY . all
COPY a.txt b.txt /two/
COPY sub /new
COPY link /followed
COPY s*/deep/d /globbed
COPY --chown=7:8 --chmod=640 sub/x.log /owned/by/x.log
COPY --from=first /q /tmp/q ./
ADD t.tar.gz /tar
RUN ln -s /new /way && rm /new/x.log
COPY a.txt /way/
LABEL a=b "c d"="e f" g='h'
EXPOSE 80 90/udp
VOLUME ["/v", "/w x"]
USER 3:4
STOPSIGNAL SIGINT
ENTRYPOINT ["x", "$A"]
CMD hi $A
HEALTHCHECK --interval=5s --retries=2 CMD x y
"""


def make_context(directory: Path) -> Path:
    """Files, links, modes and owners of all kinds, some of them left out."""
    (directory / "sub/deep").mkdir(parents=True)
    (directory / "empty").mkdir()
    for name in ("a.txt", "b.txt", "sub/c.sh", "sub/deep/d", "sub/x.log", "no.o", "sub/no.o", "sub/keep.o"):
        (directory / name).write_text(name)
    (directory / "sub/c.sh").chmod(0o755)
    (directory / "link").symlink_to("a.txt")
    (directory / "sub/broken").symlink_to("/nowhere")
    os.chown(directory / "b.txt", 5, 6)
    with tarfile.open(directory / "t.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("x/y")
        member.uid = 9
        archive.addfile(member)
    (directory / ".dockerignore").write_text("**/*.o\n!sub/keep.o\n")
    (directory / "Dockerfile").write_text(DOCKERFILE)
    return directory


def listing(archive: Path) -> dict[str, tuple[object, ...]]:
    """What there is, but for places that containers are given."""
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(archive) as members:
        for member in members:
            name = member.name.removeprefix("./").rstrip("/")
            if name.partition("/")[0] not in ("", ".", "proc", "sys", "dev", "etc", "run"):
                size = member.size if member.isfile() else 0
                found[name] = (member.type, oct(member.mode), member.uid, member.gid, size, member.linkname)
    return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    household = Household(tmp_path)
    household.load(tmp_path)
    yield household
    household.end()


def test_as_buildah_builds_it(house: Household, tmp_path: Path) -> None:
    context = make_context(tmp_path / "context")
    state = ["--root", f"{tmp_path}/theirs", "--runroot", f"{tmp_path}/theirs-run", "--storage-driver", "vfs"]

    def buildah(*words: str) -> str:
        return subprocess.run(["buildah", *state, *words], check=True, capture_output=True, text=True).stdout.strip()

    buildah("pull", "-q", f"oci-archive:{tmp_path}/image.tar")
    buildah(
        "bud",
        "-q",
        "--format",
        "docker",
        "--pull-never",
        "--network",
        "host",
        "--isolation",
        "chroot",
        "-t",
        "peer",
        str(context),
    )
    container = buildah("from", "--pull-never", "peer")
    subprocess.run(
        ["tar", "-C", buildah("mount", container), "-cf", tmp_path / "theirs.tar", "."], check=True, capture_output=True
    )
    house.ok("build", "-t", "peer", str(context))
    house.ok("build", "-o", f"type=tar,dest={tmp_path}/ours.tar", str(context))
    assert listing(tmp_path / "ours.tar") == listing(tmp_path / "theirs.tar")
    ours = json.loads(house.ok("inspect", "--type", "image", "peer"))[0]["Config"]
    theirs = json.loads(buildah("inspect", "--type", "image", "peer"))["Docker"]["config"]
    for name in (
        "Env",
        "Cmd",
        "Entrypoint",
        "ExposedPorts",
        "Volumes",
        "User",
        "WorkingDir",
        "StopSignal",
        "Healthcheck",
    ):
        assert ours[name] == theirs[name], name
    labels = {name: value for name, value in theirs["Labels"].items() if not name.startswith("io.buildah")}
    assert ours["Labels"] == labels
