"""`utsuwa build` with real containers: what ends up in the image, and what the cache does."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("build")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A few files to copy."""
    made = tmp_path / "context"
    (made / "sub/deep").mkdir(parents=True)
    (made / "a.txt").write_text("a\n")
    (made / "b.txt").write_text("b\n")
    (made / "sub/c.sh").write_text("#!/bin/sh\necho c\n")
    (made / "sub/c.sh").chmod(0o755)
    (made / "sub/deep/d").write_text("d\n")
    (made / "link").symlink_to("a.txt")
    return made


def build(house: Household, context: Path, text: str, *words: str) -> str:
    """Build, which must go well; the progress."""
    (context / "Dockerfile").write_text(text)
    done = house("build", *words, str(context))
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode()


def fails(house: Household, context: Path, text: str, *words: str) -> str:
    """Build, which must not go well; the complaint."""
    (context / "Dockerfile").write_text(text)
    done = house("build", *words, str(context))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr.decode()
    return done.stderr.decode()


def tree(house: Household, context: Path, text: str, *words: str) -> dict[str, tarfile.TarInfo]:
    """The last stage's tree, without building an image."""
    (context / "Dockerfile").write_text(text)
    done = house("build", "-o", "type=tar,dest=-", *words, str(context))
    assert done.returncode == 0, done.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {member.name: member for member in archive}


def test_the_whole_of_it(house: Household, context: Path) -> None:
    build(
        house,
        context,
        f"""ARG BASE={IMAGE}
FROM $BASE AS one
WORKDIR /srv/app
COPY a.txt sub /dst/
RUN cat /dst/a.txt > out && /dst/c.sh >> out && pwd >> out
ENV X=1 Y="two words"
ARG Z=z
RUN echo $X $Y $Z >> out
FROM one
USER 5
LABEL k=v
EXPOSE 80 53/udp
CMD ["cat", "out"]
""",
        "-t",
        "whole:1",
        "-t",
        "whole:2",
        "--label",
        "l=m",
    )
    assert house.ok("run", "--rm", "whole:1") == "a\nc\n/srv/app\n1 two words z\n"
    settings = json.loads(house.ok("inspect", "whole:2"))[0]["Config"]
    assert settings["Labels"] == {"k": "v", "l": "m"}
    assert sorted(settings["ExposedPorts"]) == ["53/udp", "80/tcp"]
    assert (settings["User"], settings["WorkingDir"]) == ("5", "/srv/app")
    assert "X=1" in settings["Env"]
    assert "Z=z" not in settings["Env"]


def test_copy(house: Household, context: Path) -> None:
    found = tree(
        house,
        context,
        """FROM scratch
COPY *.txt /all/
COPY link /linked
COPY sub /whole
COPY --chown=3:4 --chmod=go-rwx sub/c.sh /own/
COPY --parents sub/deep/d /kept/
COPY --exclude=deep sub /some/
COPY <<EOF <<'END' /docs/
$PATH is expanded
EOF
$PATH is not
END
""",
    )
    files = sorted(name for name, member in found.items() if member.isfile())
    assert files == [
        "all/a.txt",
        "all/b.txt",
        "docs/END",
        "docs/EOF",
        "kept/sub/deep/d",
        "linked",
        "own/c.sh",
        "some/c.sh",
        "whole/c.sh",
        "whole/deep/d",
    ]
    own = found["own/c.sh"]
    assert (own.uid, own.gid, own.mode) == (3, 4, 0o700)
    assert (found["own"].uid, found["whole/c.sh"].uid, found["whole/c.sh"].mode) == (3, 0, 0o755)


def test_the_cache_knows_contents(house: Household, context: Path) -> None:
    text = f"FROM {IMAGE}\nCOPY a.txt /x\nRUN date +%s%N >/when\nCOPY b.txt /y\n"
    assert "CACHED" not in build(house, context, text, "-t", "first")
    os.utime(context / "a.txt", (1, 1))
    assert build(house, context, text, "-t", "second").count("CACHED") == 3
    assert house.ok("run", "--rm", "first", "cat", "/when") == house.ok("run", "--rm", "second", "cat", "/when")
    (context / "b.txt").write_text("other")
    assert build(house, context, text).count("CACHED") == 2
    (context / "a.txt").chmod(0o600)
    assert "CACHED" not in build(house, context, text)
    assert "CACHED" not in build(house, context, text, "--no-cache")


def test_arguments_and_stages(house: Household, context: Path) -> None:
    text = f"""ARG V=1
FROM {IMAGE} AS base
ARG V
ARG W=w$V
RUN echo "$V $W $HTTP_PROXY $TARGETARCH|" >/out
FROM base AS unneeded
RUN exit 7
FROM scratch AS final
COPY --from=base /out /out
COPY --from=0 /out /too
COPY --from={IMAGE} /etc/passwd /passwd
"""
    build(house, context, text, "-t", "args", "--build-arg", "V=2", "--build-arg", "HTTP_PROXY=p")
    said = fails(house, context, text, "--target", "unneeded")
    assert 'process "/bin/sh -c exit 7" did not complete successfully: exit code: 7' in said
    assert "   7 | >>> RUN exit 7" in said
    build(house, context, text + f"FROM {IMAGE}\nCOPY --from=final / /from\n", "-t", "all", "--build-arg", "V=2")
    assert house.ok("run", "--rm", "all", "cat", "/from/out", "/from/too") == "2 w2 p |\n2 w2 p |\n"


def test_here_documents_run(house: Household, context: Path) -> None:
    build(
        house,
        context,
        f"""FROM {IMAGE}
RUN <<EOF
echo one >/out
echo two >>/out
EOF
RUN <<SCRIPT
#!/bin/cat
as it is
SCRIPT
RUN cat >>/out <<A && echo more >>/out
from a
A
""",
        "-t",
        "docs",
    )
    assert house.ok("run", "--rm", "docs", "cat", "/out") == "one\ntwo\nfrom a\nmore\n"


def test_mounts(house: Household, context: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush")
    (context / ".dockerignore").write_text("b.txt\n")
    text = f"""FROM {IMAGE}
ARG N
RUN --mount=type=cache,target=/cache,id=mounts echo $N >>/cache/log && cat /cache/log >/log
RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=SAID cat /run/secrets/s >/dev/null && echo $SAID | wc -c
RUN --mount=target=/context --mount=target=/rw,rw ls /context >/ls && touch /rw/new && ! touch /context/new
RUN --mount=type=tmpfs,target=/t touch /t/x
RUN --mount=from={IMAGE},source=/etc,target=/mnt/etc cat /mnt/etc/passwd >/dev/null
"""
    words = ["--secret", f"id=s,src={secret}"]
    build(house, context, text, "-t", "mounts", "--build-arg", "N=1", *words)
    said = build(house, context, text, "-t", "mounts", "--build-arg", "N=2", *words)
    assert "hush" not in said
    assert house.ok("run", "--rm", "mounts", "cat", "/log") == "1\n2\n"
    shown = house.ok("run", "--rm", "mounts", "sh", "-c", "cat /ls; ls -d /context /cache /t /mnt /run/secrets || true")
    assert shown.split() == ["Dockerfile", "a.txt", "link", "sub"]
    assert not (context / "new").exists()
    assert "secret nosuch: not found" in fails(
        house, context, f"FROM {IMAGE}\nRUN --mount=type=secret,id=nosuch,required true\n"
    )


def test_dockerfile_and_context_from_elsewhere(house: Household, context: Path) -> None:
    text = b"FROM scratch\nCOPY a.txt /\n"
    done = house("build", "-q", "-f", "-", str(context), stdin=text)
    assert (done.returncode, done.stdout[:7]) == (0, b"sha256:"), done.stderr
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(context / "a.txt", "a.txt")
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    again = house("build", "-q", "-", stdin=packed.getvalue())
    assert (again.returncode, again.stdout[:7]) == (0, b"sha256:"), again.stderr
    assert house("build", "-q", "-", stdin=b"FROM scratch\nLABEL a=b\n").returncode == 0


def test_the_same_twice_with_an_epoch(house: Household, context: Path) -> None:
    text = f"FROM {IMAGE}\nWORKDIR /new/dir\nCOPY . /x\nRUN touch /y\n"
    house.environment["SOURCE_DATE_EPOCH"] = "1000000000"
    try:
        (context / "Dockerfile").write_text(text)
        first = house.ok("build", "-q", "--no-cache", str(context))
        second = house.ok("build", "-q", "--no-cache", str(context))
    finally:
        del house.environment["SOURCE_DATE_EPOCH"]
    assert first == second


def test_a_hostile_context_and_image(house: Household, context: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (context / "way").symlink_to(outside)
    (context / "file").symlink_to(outside / "secret")
    for source in ("way/secret", "file", "../outside/secret", "way"):
        assert "not found" in fails(house, context, f"FROM scratch\nCOPY {source} /x\n"), source
    build(house, context, f"FROM {IMAGE}\nRUN ln -s {outside} /out && ln -s ../../../../../.. /up\n", "-t", "hostile")
    build(house, context, f"FROM hostile\nCOPY a.txt /out/a\nWORKDIR /up{outside}/made\nCOPY a.txt /up/top\n")
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert "cannot copy to non-directory" in fails(house, context, f"FROM {IMAGE}\nCOPY a.txt /etc/passwd/x\n")


def test_nothing_stays(house: Household, context: Path) -> None:
    fails(house, context, f"FROM {IMAGE}\nRUN --mount=type=cache,target=/c touch /c/x; exit 3\n")
    assert house.leftovers() == []
    assert list((house.root / "build/work").iterdir()) == []
    mounts = list((house.root / "build/mounts").iterdir())
    assert len(mounts) > 0
    assert "Total reclaimed space" in house.ok("buildx", "prune", "-af")
    assert b"unsupported: buildx create (there is one builder" in house("buildx", "create", "--use").stderr
    assert list((house.root / "build/mounts").iterdir()) == []
    assert list((house.root / "build/cache").iterdir()) == []


def _tar(mode: str, members: list[tarfile.TarInfo]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return out.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.uid = kind, link, size, 7
    return made


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_add_unpacks(house: Household, context: Path, mode: str) -> None:
    members = [_member("./", tarfile.DIRTYPE), _member("d/f", size=700), _member("h", tarfile.LNKTYPE, "d/f")]
    (context / "x.data").write_bytes(_tar(mode, members))
    text = "FROM scratch\nADD x.data a.txt /in/\nADD --unpack=false x.data /out/\nCOPY x.data /copied\n"
    found = tree(house, context, text)
    assert {name for name, member in found.items() if not member.isdir()} == {
        "in/d/f",
        "in/h",
        "in/a.txt",
        "out/x.data",
        "copied",
    }
    assert (found["in/d/f"].uid, found["in/d/f"].size, found["out/x.data"].uid) == (7, 700, 0)


def test_a_hostile_archive(house: Household, context: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = [_member("l", tarfile.SYMTYPE, str(outside)), _member("l/f"), _member("m", tarfile.SYMTYPE, "../../..")]
    (context / "evil.tar").write_bytes(_tar("w", [*evil, _member("m/g", size=3)]))
    build(house, context, f"FROM {IMAGE}\nADD evil.tar /\n", "-t", "evil")
    shown = house.ok("run", "--rm", "evil", "sh", "-c", f"ls /g {outside}/f")
    assert shown.split() == ["/g", f"{outside}/f"]
    assert list(outside.iterdir()) == []
    for name in ("../f", "/../f", "a/../../f"):
        (context / "evil.tar").write_bytes(_tar("w", [_member(name)]))
        (context / "Dockerfile").write_text("FROM scratch\nADD evil.tar /d/\n")
        house("build", str(context))
        assert list(outside.iterdir()) == []
    (context / "evil.tar").write_bytes(_tar("w:gz", [_member("f", size=9999)])[:-20])
    assert "truncated" in fails(house, context, "FROM scratch\nADD evil.tar /d/\n")


def test_add_from_a_url(house: Household, context: Path) -> None:
    with served(context) as address:
        text = f"FROM scratch\nADD {address}/a.txt {address}/b.txt /d/\nADD --chmod=644 {address}/a.txt /one\n"
        found = tree(house, context, text)
        assert {name for name, member in found.items() if member.isfile()} == {"d/a.txt", "d/b.txt", "one"}
        assert (found["d/a.txt"].mode, found["one"].mode) == (0o600, 0o644)
        right = "sha256:" + hashlib.sha256(b"a\n").hexdigest()
        tree(house, context, f"FROM scratch\nADD --checksum={right} {address}/a.txt /x\n")
        wrong = f"FROM scratch\nADD --checksum=sha256:{'0' * 64} {address}/a.txt /x\n"
        assert "digest mismatch" in fails(house, context, wrong)
        assert "404" in fails(house, context, f"FROM scratch\nADD {address}/nosuch /x\n")
        assert "996 bytes too early" in fails(house, context, f"FROM scratch\nADD {address}/short /x\n")


def test_nothing_of_a_dockerfile_moves_the_cursor(house: Household, context: Path) -> None:
    """Proven: titles and excerpts were shown as they are."""
    dockerfile = f'FROM {IMAGE}\nLABEL "a\x1b[2J"=b\nRUN printf "\\033[1J\x1b[3J"; exit 3\n'
    said = fails(house, context, dockerfile, "--progress", "plain")
    assert all(f"\\x1b[{number}J" in said for number in (1, 2, 3)) and "\x1b" not in said


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """The files of a directory over HTTP."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(directory))

        def do_GET(self) -> None:
            if self.path != "/short":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            return None

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_stages_that_run_at_once(house: Household, context: Path) -> None:
    """Two stages wait for each other by a cache mount that both see; one after the other, they would wait for ever."""
    meet = "touch /c/$ME; for i in $(seq 500); do test -e /c/$OTHER && exit 0; sleep 0.02; done; exit 9"
    build(
        house,
        context,
        f"""FROM {IMAGE} AS a
RUN --mount=type=cache,id=meeting,target=/c export ME=a OTHER=b; {meet}
FROM {IMAGE} AS b
RUN --mount=type=cache,id=meeting,target=/c export ME=b OTHER=a; {meet}
FROM scratch
COPY --from=a /etc/passwd /a
COPY --from=b /etc/passwd /b
""",
    )


def test_one_stage_fails_and_the_other_ends(house: Household, context: Path) -> None:
    said = fails(
        house,
        context,
        f"FROM {IMAGE} AS a\nRUN sleep 1000\nFROM {IMAGE} AS b\nRUN exit 5\nFROM a\nCOPY --from=b / /b\n",
    )
    assert "exit code: 5" in said
    assert house.leftovers() == []


def test_by_the_installed_program(house: Household, context: Path) -> None:
    """It reads its modules from a file that it holds open, in the process that keeps the container, too."""
    program = Path(sys.executable).parent / "utsuwa"
    if not program.exists():
        pytest.skip(f"{program} is not installed")
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo said\n")
    done = subprocess.run(
        [program, "build", "--no-cache", str(context)], capture_output=True, env=house.environment, check=False
    )
    assert (done.returncode, b" said\n" in done.stderr) == (0, True), done.stderr.decode()
