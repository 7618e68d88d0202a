"""Git repositories as sources of ADD and as contexts, fetched by the program git, which is told to trust nobody.

The repository and its server are hostile: git reads no configuration but ours, runs no hooks, asks nobody, and speaks
https, http, ssh and git alone, in submodules as well (CVE-2022-39253, CVE-2017-1000117). What it has checked out is
a tree like any other here: links in it are followed within it only.
"""

from __future__ import annotations

import os

from utsuwa.build import places
from utsuwa.errors import InvalidArgument, NotFound, Unavailable, Unsupported
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PROTOCOLS = "https:http:ssh:git"
_PATIENCE = "60"
"""Seconds that a server may be slower than a byte per second."""
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "credential.helper": "",
    "gc.auto": "0",
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": _PATIENCE,
    "advice.detachedHead": "false",
    "init.defaultBranch": "master",
    "submodule.fetchJobs": "1",
}
_REMOTE = "wanted"
"""What git knows the source by: the URL may have a password in it, which is nobody's business who lists processes."""
_HEX = frozenset("0123456789abcdef")
_WRONG_IN_REFS = set(" ~^:?*[\\")


class Access:
    """What of the user's git may use: ``agent`` is the socket of an ssh agent, ``header`` goes to the server as
    ``Authorization``, each "" for none. ``lock`` stays open as long as git runs, -1 for none.

    ``own_keys``: ssh may look for keys by itself, since the user and not a Dockerfile has named the repository.
    """

    def __init__(self, agent: str = "", header: str = "", lock: int = -1, own_keys: bool = False) -> None:
        self.agent, self.header, self.lock, self.own_keys = agent, header, lock, own_keys


class Source:
    """``URL#REF:SUBDIRECTORY``; ``ref`` "" is the remote's HEAD."""

    def __init__(self, url: str, ref: str, subdirectory: str) -> None:
        self.url, self.ref, self.subdirectory = url, ref, subdirectory


def parse(text: str) -> Source | None:
    """A repository in one of the spellings that BuildKit knows, None for anything else. Raises InvalidArgument."""
    url, _, fragment = text.partition("#")
    if url.startswith("github.com/"):
        url = f"https://{url}"
    elif url.startswith(("http://", "https://")):
        if not url.removesuffix("/").endswith(".git"):
            return None
    elif not url.startswith(("git://", "ssh://")) and not _is_scp(url):
        return None
    ref, _, subdirectory = fragment.partition(":")
    host = url.partition("://")[2] if "://" in url else url
    if host.partition("@")[2].startswith("-") or host.startswith("-") or not url.isprintable():
        raise InvalidArgument(f"invalid git repository {url!r}")
    if ref.startswith("-") or not ref.isprintable() or set(ref) & _WRONG_IN_REFS or ".." in ref:
        raise InvalidArgument(f"invalid git ref {ref!r} in {text!r}")
    return Source(url, ref, subdirectory)


def _is_scp(url: str) -> bool:
    """``git@host:path``, as ssh is usually spelled."""
    user, at, rest = url.partition("@")
    host, colon, path = rest.partition(":")
    return bool(at and colon and path) and user.isalnum() and "/" not in host


def is_commit(ref: str) -> bool:
    """Whether a ref is a whole commit id, which says by itself what is meant."""
    return len(ref) in (40, 64) and _HEX.issuperset(ref)


def without_secrets(url: str) -> str:
    """The URL as it may be shown and kept: without user and password of http."""
    scheme, mark, rest = url.partition("://")
    if not mark or not scheme.startswith("http"):
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


class Repository:
    """A repository at one commit. ``commit`` is asked of the server, unless the source says it. ``keeps_git``: what
    belongs to git comes along.
    """

    def __init__(self, source: Source, access: Access, keeps_git: bool = False) -> None:
        """Raises NotFound when there is no such ref, Unavailable, Unsupported without git."""
        self.source, self.keeps_git = source, keeps_git
        self._git = _Git(source, access)
        self.name = ""
        self.commit = source.ref if is_commit(source.ref) else self._ask()

    @property
    def identity(self) -> tuple[object, ...]:
        """All that a tree depends on; a commit's id is a digest of its content."""
        kept = (without_secrets(self.source.url), self.name) if self.keeps_git else ()
        return ("git", self.commit, self.source.subdirectory, *kept)

    def _ask(self) -> str:
        """What the server has for the ref."""
        ref = self.source.ref or "HEAD"
        patterns = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        said = self._git.run("ls-remote", _REMOTE, *patterns, *(f"{each}^{{}}" for each in patterns))
        lines = [line.partition("\t") for line in said.splitlines()]
        found = {name: commit for commit, _, name in lines}
        for name in patterns:
            commit = found.get(f"{name}^{{}}") or found.get(name)
            if commit and is_commit(commit):
                self.name = name
                return commit
        raise NotFound(f"repository {without_secrets(self.source.url)} does not contain ref {ref}")

    def check_out(self, directory: str) -> None:
        """Put the commit's tree, with its submodules, into an empty directory. Raises NotFound, Unavailable."""
        git = self._git.within(directory)
        git.run("init", "--quiet", "--template=")
        git.run("remote", "add", "origin", without_secrets(self.source.url))
        self._fetch(git)
        git.run("checkout", "--quiet", "--detach", self.commit)
        if os.path.lexists(f"{directory}/.gitmodules"):
            git.run("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1", "--single-branch")

    def check_out_part(self, directory: str) -> str:
        """The same, and where in it the subdirectory is that was asked for. Raises NotFound without it."""
        self.check_out(directory)
        inside = self.source.subdirectory
        with Merged.of([directory]) as root, places.find(root, places.split(inside)) as found:
            if not found.is_directory():
                raise NotFound(f"subdir not found: {inside} in {without_secrets(self.source.url)}")
            return os.fsdecode(b"/".join((os.fsencode(directory), *found.path)))

    def _fetch(self, git: _Git) -> None:
        """The commit alone; where a server does not give that, its ref's history, or all there is."""
        ways: Sequence[Sequence[str]] = (
            ("--depth=1", "--no-tags", _REMOTE, self.commit),
            ("--no-tags", _REMOTE, self.name or "HEAD"),
            ("--tags", _REMOTE, "+refs/*:refs/remotes/origin/*"),
        )
        problem = Unavailable("")
        for words in ways:
            try:
                git.run("fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head", *words)
                git.run("cat-file", "-e", f"{self.commit}^{{commit}}")
                return
            except Unavailable as error:
                problem = error
        raise problem


class _Git:
    """The program, in a directory, with an environment that has nothing of ours but where programs are."""

    def __init__(self, source: Source, access: Access, directory: str = "/") -> None:
        self._source, self._access, self._directory = source, access, directory

    def within(self, directory: str) -> _Git:
        """The same for a directory."""
        return _Git(self._source, self._access, directory)

    def run(self, *words: str) -> str:
        """What it prints. Raises Unavailable with what it complains about, Unsupported when there is no git."""
        import subprocess

        try:
            done = subprocess.run(
                ["git", *words],
                cwd=self._directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                umask=0o022,
                pass_fds=(self._access.lock,) if self._access.lock >= 0 else (),
            )
        except FileNotFoundError:
            raise Unsupported(
                f"unsupported: the git repository {without_secrets(self._source.url)} without the program git "
                "(install the package git)"
            ) from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise Unavailable(f"git {words[0]} {without_secrets(self._source.url)}: {self._hidden(said)}")
        return done.stdout.decode("utf-8", "replace")

    def _hidden(self, text: str) -> str:
        """Without what must not be read in a log."""
        for secret in (self._access.header, self._source.url.partition("://")[2].rpartition("@")[0]):
            text = text.replace(secret, "***") if secret else text
        return text

    def _environment(self) -> dict[str, str]:
        access = self._access
        found = {name: os.environ[name] for name in _PASSED if name in os.environ}
        found |= {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/dev/null",
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_CEILING_DIRECTORIES": os.path.dirname(self._directory),
            "GIT_SSH_COMMAND": " ".join(_ssh(access)),
            "GIT_LFS_SKIP_SMUDGE": "1",
        }
        if access.agent:
            found["SSH_AUTH_SOCK"] = access.agent
        settings = {**_SETTINGS, f"remote.{_REMOTE}.url": self._source.url}
        if access.header and self._source.url.startswith("https://"):
            origin = "/".join(without_secrets(self._source.url).split("/")[:3])
            settings[f"http.{origin}/.extraHeader"] = f"Authorization: {access.header}"
        found["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (name, value) in enumerate(settings.items()):
            found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
        return found


_PASSED = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
           "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")  # fmt: skip


def _ssh(access: Access) -> list[str]:
    """It asks nothing, and knows the hosts that the user knows; other keys than the agent's are the user's to give."""
    if access.own_keys:
        return ["ssh", "-o", "BatchMode=yes"]
    words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentityFile=none"]
    return words if access.agent else [*words, "-o", "IdentityAgent=none"]


def access_of(secrets: dict[str, bytes], agent: str, lock: int, own_keys: bool = False) -> Access:
    """What the user has given: the secrets GIT_AUTH_HEADER or GIT_AUTH_TOKEN, as BuildKit calls them, and an agent."""
    header = secrets.get("GIT_AUTH_HEADER", b"").decode("utf-8", "replace").strip()
    token = secrets.get("GIT_AUTH_TOKEN", b"").decode("utf-8", "replace").strip()
    if token and not header:
        from base64 import b64encode

        header = f"basic {b64encode(f'x-access-token:{token}'.encode()).decode()}"
    if "\n" in header or "\r" in header:
        raise InvalidArgument("secret GIT_AUTH_HEADER: more than one line")
    return Access(agent, header, lock, own_keys)
