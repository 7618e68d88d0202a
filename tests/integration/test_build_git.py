"""Git repositories as sources of ADD and as contexts, contexts by HTTP, and ssh agents, all on the loopback."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.integration.test_build import build, fails, served, tree
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "git")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("git")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``app`` with a tag, a branch, a submodule ``part`` and a link out of it; ``evil``, whose submodules are files."""
    top = tmp_path_factory.mktemp("repositories")
    for name in ("part", "app", "evil"):
        (top / name).mkdir()
        git(top / name, "init", "-q", "-b", "master", ".")
    commit(top / "part", "inner", "part\n")
    (top / "app/sub").mkdir()
    (top / "app/Dockerfile").write_text("FROM scratch\nCOPY . /context/\n")
    (top / "app/out").symlink_to("/etc/passwd")
    head = git(top / "part", "rev-parse", "HEAD").strip()
    commit(top / "app", "sub/file", "one\n")
    git(top / "app", "tag", "v1")
    (top / "app/.gitmodules").write_text('[submodule "part"]\n\tpath = part\n\turl = ../part\n')
    git(top / "app", "update-index", "--add", "--cacheinfo", f"160000,{head},part")
    commit(top / "app", "sub/file", "two\n")
    git(top / "app", "branch", "side", "HEAD~1")
    evil = f'[submodule "x"]\n\tpath = x\n\turl = file://{top}/part\n'
    (top / "evil/.gitmodules").write_text(evil)
    git(top / "evil", "update-index", "--add", "--cacheinfo", f"160000,{head},x")
    commit(top / "evil", "f", "f\n")
    return top


def git(directory: Path, *words: str) -> str:
    environment = {
        **os.environ,
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "x"),
    }
    return subprocess.run(
        ["git", "-C", str(directory), *words], check=True, capture_output=True, text=True, env=environment
    ).stdout


def commit(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(text)
    git(directory, "add", "-A", "--", ":!part", ":!x")
    git(directory, "commit", "-q", "-m", name)


@pytest.fixture(scope="module")
def address(repositories: Path) -> Iterator[str]:
    """The repositories by git's own protocol; a child of git daemon's for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    command = ["git", "daemon", "--inetd", "--export-all", f"--base-path={repositories}", str(repositories)]

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                subprocess.run(command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL, check=False)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"git://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_add_a_repository(house: Household, tmp_path: Path, repositories: Path, address: str) -> None:
    head = git(repositories / "app", "rev-parse", "v1").strip()
    text = f"""FROM scratch
ADD {address}/app /head/
ADD {address}/app#v1:sub /tag/
ADD --keep-git-dir --chown=7 {address}/app#side /kept/
ADD --checksum={head} {address}/app#{head}:sub /commit/
"""
    found = tree(house, tmp_path, text)
    files = {name for name, member in found.items() if member.isfile() and "/.git/" not in name}
    assert {"head/sub/file", "head/part/inner", "tag/file", "kept/sub/file", "commit/file"} <= files
    assert [name for name in found if name.startswith("head/.git")] == ["head/.gitmodules"]
    assert "head/part/.git" not in found
    assert "kept/.git/HEAD" in found
    assert (found["kept/sub/file"].uid, found["tag/file"].mode, found["head/out"].linkname) == (7, 0o644, "/etc/passwd")
    again = build(house, tmp_path, text)
    assert again.count("CACHED") == 4
    assert "does not contain ref nosuch" in fails(house, tmp_path, f"FROM scratch\nADD {address}/app#nosuch /x/\n")
    assert "subdir not found" in fails(house, tmp_path, f"FROM scratch\nADD {address}/app#v1:out /x/\n")
    wrong = f"FROM scratch\nADD --checksum={'0' * 40} {address}/app#v1 /x/\n"
    assert "expected checksum to match" in fails(house, tmp_path, wrong)


def test_a_hostile_repository(house: Household, tmp_path: Path, address: str) -> None:
    said = fails(house, tmp_path, f"FROM scratch\nADD {address}/evil /x/\n")
    assert "transport 'file' not allowed" in said
    for source in (f"{address}/app#--upload-pack=x", "git@-oProxyCommand=x:y"):
        assert "invalid git" in fails(house, tmp_path, f"FROM scratch\nADD {source} /x/\n")


def test_killed_while_git_waits(house: Household, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        (tmp_path / "Dockerfile").write_text(f"FROM scratch\nADD git://127.0.0.1:{silent.getsockname()[1]}/x /x/\n")
        running = house.begin("build", str(tmp_path))
        connection, _ = silent.accept()
        running.kill()
        connection.close()
        running.communicate(timeout=20)
    work = house.root / "build/work"
    until(lambda: house.ok("builder", "prune", "-f") != "" and not list(work.iterdir()))


def test_without_git(house: Household, tmp_path: Path) -> None:
    path, house.environment["PATH"] = house.environment["PATH"], str(tmp_path)
    try:
        assert "install the package git" in fails(house, tmp_path, "FROM scratch\nADD git@example.com:a/b.git /x/\n")
    finally:
        house.environment["PATH"] = path


def test_contexts_from_elsewhere(house: Household, tmp_path: Path, repositories: Path, address: str) -> None:
    def files(*words: str, stdin: bytes = b"") -> list[str]:
        done = house("build", "-o", "type=tar,dest=-", *words, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return sorted(member.name for member in archive if not member.isdir())

    assert files(f"{address}/app#v1") == [
        "context/Dockerfile",
        "context/out",
        "context/sub/file",
    ]
    copy = b"FROM scratch\nCOPY file /copied\n"
    assert files("-f", "-", f"{address}/app#:sub", stdin=copy) == ["copied"]
    with tarfile.open(tmp_path / "context.tar.xz", "w:xz") as archive:
        archive.add(repositories / "app/sub/file", "file")
    (tmp_path / "Plain").write_bytes(b"FROM scratch\nCOPY <<EOF /said\nx\nEOF\n")
    with served(tmp_path) as http:
        assert files("-f", "-", f"{http}/context.tar.xz", stdin=copy) == ["copied"]
        assert files(f"{http}/Plain") == ["said"]
        assert files("-f", f"{http}/Plain", str(tmp_path)) == ["said"]
        assert b"404" in house("build", f"{http}/nosuch").stderr


def test_an_agent(house: Household, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as agent:
        path = str(tmp_path / "agent")
        agent.bind(path)
        agent.listen()
        text = f"""FROM {IMAGE}
RUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK $(stat -c %a:%u $SSH_AUTH_SOCK)
RUN --mount=type=ssh,id=other,target=/tmp/a,uid=3,mode=0660 echo $SSH_AUTH_SOCK $(stat -c %a:%u /tmp/a)
RUN --mount=type=ssh,id=nosuch echo none$SSH_AUTH_SOCK; test ! -e /run/buildkit -a ! -e /tmp/a
"""
        said = build(house, tmp_path, text, "--ssh", f"default={path}", "--ssh", f"other={path}")
    assert "/run/buildkit/ssh_agent.0 600:0\n" in said
    assert "/tmp/a 660:3\n" in said
    assert " none\n" in said
    required = f"FROM {IMAGE}\nRUN --mount=type=ssh,required true\n"
    assert "give it by --ssh default" in fails(house, tmp_path, required)
    assert "connect to the agent" in fails(house, tmp_path, required, "--ssh", f"default={path}")
    assert "ssh-add" in fails(house, tmp_path, required, "--ssh", f"default={tmp_path}/Dockerfile")
