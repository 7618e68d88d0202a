"""The options of `utsuwa build` that few builds have: what they do, or that they are refused by name."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household
from tests.integration.test_build import build, fails
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("flags")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


def test_limits_of_a_step(house: Household, tmp_path: Path) -> None:
    look = "df -k /dev/shm; ulimit -n; cat /proc/self/cgroup /etc/hosts; grep Seccomp: /proc/self/status"
    text = f"FROM {IMAGE}\nRUN {look}\n"
    limits = ("--memory", "64m", "--cpu-shares", "77", "--cpu-period", "50000", "--cpu-quota", "20000")
    words = ("--shm-size", "3m", "--ulimit", "nofile=123:456", "--cgroup-parent", "/utsuwa-build-test")
    others = ("--add-host", "a:10.0.0.1", "--security-opt", "seccomp=unconfined")
    said = build(house, tmp_path, text, *limits, *words, *others)
    assert " 3072 " in said
    assert " 123\n" in said
    assert "/utsuwa-build-test/build-" in said
    assert "10.0.0.1\ta" in said
    assert "Seccomp:\t0" in said
    assert "memory must be at least 6m" in fails(house, tmp_path, text, "--memory", "1m")
    for top in Path("/sys/fs/cgroup").glob("*/utsuwa-build-test"):
        top.rmdir()


def test_stages_without_cache(house: Household, tmp_path: Path) -> None:
    text = f"FROM {IMAGE} AS one\nRUN echo 1 >/1\nFROM one AS two\nRUN echo 2 >/2\n"
    text += "FROM one\nRUN echo 3 >/3\nCOPY --from=two /2 /\n"
    build(house, tmp_path, text)
    again = build(house, tmp_path, text, "--no-cache-filter", "two,nosuch").split("\n\n")
    assert ["CACHED" in step for step in again if "RUN echo" in step] == [True, False, True]


def test_named_contexts(house: Household, tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/f").write_text("extra\n")
    (tmp_path / "extra/hidden").write_text("")
    (tmp_path / "extra/.dockerignore").write_text("hidden\n")
    house.ok("save", "-o", str(tmp_path / "layout.tar"), IMAGE)
    text = """FROM scratch AS files
FROM nosuch/base
COPY --from=files . /files/
RUN --mount=from=files,target=/m cat /m/f && ls -A /files && test -e /bin/busybox
COPY --from=packed /bin/busybox /second
"""
    contexts = {
        "files": str(tmp_path / "extra"),
        "nosuch/base:latest": f"docker-image://{IMAGE}",
        "packed": f"oci-layout://{tmp_path}/layout.tar:latest",
    }
    words = [word for name, where in contexts.items() for word in ("--build-context", f"{name}={where}")]
    said = build(house, tmp_path, text, *words)
    assert " extra\n" in said
    assert " hidden\n" not in said
    from_files = (
        f"FROM nosuch/base AS first\nENV a=b\nFROM {IMAGE}\nRUN --mount=from=first,target=/m ls -A /m; cat /m/f\n"
    )
    said = build(house, tmp_path, from_files, "--build-context", f"nosuch/base={tmp_path}/extra")
    assert " .dockerignore\n" in said and " extra\n" in said and " hidden\n" not in said
    assert "no OCI layout" in fails(house, tmp_path, text, "--build-context", "x=oci-layout:///nosuch")


def test_outputs(house: Household, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=600 <<EOF /d/new\nnew\nEOF\n")
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d/kept").write_text("kept")
    (out / "d/new").symlink_to("/etc/nosuch")
    archive, ids, told = tmp_path / "oci.tar", tmp_path / "id", tmp_path / "metadata"
    words = ("-t", "out:1", "-o", str(out), "-o", f"type=oci,dest={archive}", "-o", 'type=docker,"name=also:1,also:2"')
    annotations = ("--annotation", "a=b", "--annotation", "manifest:c=d")
    files = ("--iidfile", str(ids), "--metadata-file", str(told))
    done = house("build", "--progress", "rawjson", *words, *annotations, *files, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert ((out / "d/new").read_text(), (out / "d/kept").read_text()) == ("new\n", "kept")
    assert not os.path.lexists("/etc/nosuch")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("completed" in vertex for line in lines for vertex in line.get("vertexes", ()))
    metadata = json.loads(told.read_text())
    found = json.loads(house.ok("inspect", "also:2"))[0]
    assert sorted(found["RepoTags"]) == ["also:1", "also:2", "out:1"]
    assert ids.read_text() == metadata["containerimage.config.digest"] == found["Id"]
    assert metadata["image.name"].startswith("docker.io/library/out:1,")
    assert metadata["containerimage.descriptor"]["annotations"] == {"a": "b", "c": "d"}
    with tarfile.open(archive) as packed:
        index = json.load(packed.extractfile("index.json"))  # type: ignore[arg-type]
    names = [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]]
    assert names == [f"docker.io/library/{name}" for name in ("out:1", "also:1", "also:2")]
    assert {each["digest"] for each in index["manifests"]} == {metadata["containerimage.digest"]}


def test_an_archive_alone_leaves_no_image(house: Household, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL only=archived\n")
    done = house("build", "-t", "gone", "-o", "type=docker,dest=-", str(tmp_path))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        assert json.load(packed.extractfile("manifest.json"))[0]["RepoTags"] == ["gone:latest"]  # type: ignore[arg-type]
    assert "only=archived" not in house.ok("images", "-aq", "--filter", "label=only=archived", "--format", "{{.ID}}")
    assert house.ok("images", "-aq", "--filter", "label=only=archived") == ""


def test_checks(house: Household, tmp_path: Path) -> None:
    text = "FROM scratch\nENV a b\nCMD x\n"
    said = build(house, tmp_path, text)
    assert " 2 warnings found (use --check to expand):\n - LegacyKeyValueFormat: " in said
    assert "(line 3)" in said
    told = house("build", "--check", str(tmp_path))
    assert (told.returncode, told.stdout.count(b"WARNING: "), told.stderr) == (1, 2, b"")
    (tmp_path / "Dockerfile").write_text(f"# check=skip=all\n{text}")
    assert house.ok("build", "--call", "check", str(tmp_path)) == "Check complete, no warnings found.\n"
    fatal = fails(house, tmp_path, f"# check=skip=LegacyKeyValueFormat;error=true\n{text}")
    assert "lint violation found for rules: JSONArgsRecommended" in fatal
    assert "   4 | >>> CMD x" in fatal


def test_a_linked_copy_stands_on_anything(house: Household, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f\n")
    text = f"FROM {IMAGE}\nRUN mkdir -p /usr/lib; ln -s usr/lib /lib; echo {{0}} >/which\nCOPY --link f /lib/f\n"
    for number, cached in ((1, 0), (2, 1)):
        said = build(house, tmp_path, text.format(number), "-t", "linked")
        assert said.count("CACHED") == cached
        shown = house.ok("run", "--rm", "linked", "sh", "-c", "cat /which /lib/f; test ! -L /lib -a ! -e /usr/lib/f")
        assert shown == f"{number}\nf\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--squash"], "unsupported: --squash"),
        (["--attest", "type=sbom"], "unsupported: --attest"),
        (["--provenance", "mode=max"], "use --provenance=false"),
        (["--sbom=true"], "use --sbom=false"),
        (["--builder", "other"], "unsupported: --builder other"),
        (["--isolation", "hyperv"], "unsupported: --isolation"),
        (["--rm=false"], "unsupported: --rm=false"),
        (["--annotation", "index:a=b"], "annotation of index"),
        (["--annotation", "a"], "expected key=value"),
        (["--push"], "tag is needed"),
        (["-o", "type=odd"], "type is required"),
        (["-o", "type=oci"], "dest is required"),
        (["-o", "type=image,compression=zstd"], "unsupported: compression"),
        (["--build-context", "x"], "expected name=location"),
        (["--build-context", "x=/nosuch"], "failed to get build context x"),
        (["--call", "outline"], "unsupported: --call outline"),
        (["--progress", "odd"], "invalid progress type"),
    ],
)
def test_what_is_refused(house: Household, tmp_path: Path, words: list[str], said: str) -> None:
    assert said in fails(house, tmp_path, "FROM scratch\n", *words)
