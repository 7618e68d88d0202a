"""Authentication: challenges, tokens, and who gets to see a password."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from yarl import URL

from tests import archives
from tests.lying_registry import LyingRegistry, body, status
from utsuwa.errors import Error, InvalidArgument, PermissionDenied, Unavailable
from utsuwa.registry import credentials, endpoint
from utsuwa.registry.auth import parse_challenges
from utsuwa.registry.client import Patience, RegistryClient
from utsuwa.registry.credentials import Credentials
from utsuwa.registry.proxy import proxy_for

QUICK = Patience(connect=5, chunk=1, backoff=0.001)
MADE = archives.image(archives.archive(archives.file("a")))
ME = Credentials(username="me", password="secret")
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})]),
        (['Basic realm="a \\"b\\" c", Bearer realm=x'], [("basic", {"realm": 'a "b" c'}), ("bearer", {"realm": "x"})]),
        (["Negotiate", 'BASIC Realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (['Bearer realm="unfinished'], [("bearer", {"realm": "unfinished"})]),
        (['=,;"', ""], []),
    ],
)  # fmt: skip
def test_challenges(headers: list[str], found: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(headers) == found


def _with_token_server(registry: LyingRegistry, expires: int = 300, realm: str = "") -> list[dict[str, str]]:
    """Make the registry ask for tokens that it hands out itself; returns what token requests looked like."""
    asked: list[dict[str, str]] = []

    def guard(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/token":
            asked.append({"authorization": request.headers.get("Authorization", ""), **dict(request.query)})
            return web.json_response({"token": f"t{len(asked)}", "expires_in": expires})
        if request.headers.get("Authorization", "").startswith("Bearer t"):
            return None
        where = realm or f"http://{registry.host}/token"
        name = request.path.split("/v2/")[1].split("/manifests")[0].split("/blobs")[0]
        challenge = f'Bearer realm="{where}",service="lying",scope="repository:{name}:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    registry.guard = guard
    return asked


def _run(scenario: Callable, who: Credentials | None = None) -> None:
    async def main() -> None:
        async with LyingRegistry() as registry:
            registry.serve(MADE)
            async with RegistryClient(registry.host, who, QUICK) as client:
                await scenario(registry, client)

    asyncio.run(main())


@pytest.mark.parametrize(("who", "sent"), [(None, ""), (ME, BASIC)])
def test_one_token_per_scope(who: Credentials | None, sent: str) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        asked = _with_token_server(registry)
        for repository in ("one", "one", "two", "one"):
            assert (await client.manifest(repository, "latest"))[0] == MADE.manifest
        assert [each["scope"] for each in asked] == ["repository:one:pull", "repository:two:pull"]
        assert {each["authorization"] for each in asked} == {sent}
        assert {each["service"] for each in asked} == {"lying"}

    _run(scenario, who)


def test_a_token_that_is_refused_is_renewed_once() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        asked = _with_token_server(registry)
        await client.manifest("one", "latest")
        inner = registry.guard
        registry.guard = lambda request: (
            inner(request)
            if request.path == "/token" or request.headers.get("Authorization") == "Bearer t2"
            else web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="http://{registry.host}/token"'})
        )
        await client.manifest("one", "latest")
        assert len(asked) == 2
        registry.guard = lambda request: (
            inner(request)
            if request.path == "/token"
            else web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="http://{registry.host}/token"'})
        )
        with pytest.raises(PermissionDenied, match="answered 401"):
            await client.manifest("one", "latest")
        assert len(asked) == 3

    _run(scenario)


def test_an_identity_token_is_exchanged_by_post() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        forms: list[str] = []
        _with_token_server(registry)
        inner = registry.guard
        registry.guard = lambda request: None if request.path == "/token" else inner(request)

        async def exchange(request: web.Request, _truth: bytes) -> web.StreamResponse:
            forms.append(await request.text())
            return web.json_response({"access_token": "t9"})

        registry.lie("token", exchange)
        await client.manifest("one", "latest")
        form = parse_qs(forms[0])
        assert form["grant_type"] == ["refresh_token"]
        assert form["refresh_token"] == ["identity"]

    _run(scenario, Credentials(identity_token="identity"))


@pytest.mark.parametrize(
    ("lie", "error", "text"),
    [
        (status(401), PermissionDenied, "no token for repository:one:pull"),
        (status(400), Unavailable, "token server answered 400"),
        (body(b"[]"), Unavailable, "not understood"),
        (body(b'{"token": "a\\r\\nb"}'), Unavailable, "not understood"),
        (body(b'{"token": 5}'), Unavailable, "not understood"),
        (body(b'{"token": "t", "expires_in": "soon"}'), Unavailable, "not understood"),
        (body(b"x" * (2 << 20)), Unavailable, "longer than the limit"),
    ],
)
def test_token_servers_that_misbehave(lie, error: type[Error], text: str) -> None:  # type: ignore[no-untyped-def]
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        _with_token_server(registry)
        inner = registry.guard
        registry.guard = lambda request: None if request.path == "/token" else inner(request)
        registry.lie("token", lie)
        with pytest.raises(error, match=text):
            await client.manifest("one", "latest")

    _run(scenario)


@pytest.mark.parametrize(
    "realm", ["file:///etc/passwd", "http://192.0.2.1/token", "token", "http://u:p@127.0.0.1/t", "http://["]
)
def test_realms_that_are_not_asked(realm: str) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        asked = _with_token_server(registry, realm=realm)
        with pytest.raises(Unavailable, match="which is not asked"):
            await client.manifest("one", "latest")
        assert asked == []

    _run(scenario, ME)


def test_basic_authentication_is_only_sent_when_asked_for() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.guard = lambda request: (
            None
            if request.headers.get("Authorization") == BASIC
            else web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        )
        await client.manifest("one", "latest")
        assert ["Authorization" in headers for headers in registry.headers] == [False, True]

    _run(scenario, ME)


@pytest.mark.parametrize(
    ("challenge", "error"), [('Basic realm="x"', PermissionDenied), ("Kerberos", Unavailable), ("", Unavailable)]
)
def test_challenges_that_can_not_be_met(challenge: str, error: type[Error]) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.guard = lambda _request: web.Response(status=401, headers={"WWW-Authenticate": challenge})
        with pytest.raises(error):
            await client.manifest("one", "latest")

    _run(scenario)


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("https://r.io", "https://cdn.io/x", True),
        ("https://r.io", "http://cdn.io/x", False),
        ("https://r.io", "http://127.0.0.1/x", False),
        ("https://r.io", "https://localhost/x", False),
        ("https://r.io", "https://[::1]/x", False),
        ("http://localhost:5000", "http://127.0.0.1:6000/x", True),
        ("http://localhost:5000", "https://cdn.io/x", True),
        ("http://localhost:5000", "http://cdn.io/x", False),
        ("https://r.io", "gopher://cdn.io/x", False),
    ],
)
def test_where_a_registry_may_send_us(source: str, target: str, allowed: bool) -> None:
    assert endpoint.allowed_from(URL(source), URL(target)) is allowed


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("quay.io", "https://quay.io"),
        ("r.io:8443", "https://r.io:8443"),
        ("localhost:5000", "http://localhost:5000"),
        ("localhost", "http://localhost"),
        ("127.1.2.3:5000", "http://127.1.2.3:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("localhost.evil.io", "https://localhost.evil.io"),
        ("127.0.0.1.evil.io", "https://127.0.0.1.evil.io"),
    ],
)
def test_only_this_machine_is_spoken_to_in_the_clear(domain: str, url: str) -> None:
    assert endpoint.base_url(domain) == URL(url)


def _find(domain: str, config: object, tmp_path: Path) -> Credentials | None:
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return asyncio.run(credentials.find(domain, str(path)))


def test_credentials_of_docker_login(tmp_path: Path) -> None:
    auth = {"auth": base64.b64encode(b"me:se:cret").decode()}
    found = Credentials(username="me", password="se:cret")
    assert _find("r.io", {"auths": {"r.io": auth}}, tmp_path) == found
    assert _find("r.io", {"auths": {"https://r.io/v1/": auth}}, tmp_path) == found
    assert _find("docker.io", {"auths": {"https://index.docker.io/v1/": auth}}, tmp_path) == found
    assert _find("other.io", {"auths": {"r.io": auth}}, tmp_path) is None
    assert _find("r.io", {}, tmp_path) is None
    token = _find("r.io", {"auths": {"r.io": {"identitytoken": "t"}}}, tmp_path)
    assert token is not None and token.identity_token == "t"
    assert "cret" not in repr(found)
    assert asyncio.run(credentials.find("r.io", str(tmp_path / "missing"))) is None
    for broken in ("{", "[]", {"auths": {"r.io": {"auth": "%"}}}):
        with pytest.raises(InvalidArgument, match=r"config\.json"):
            _find("r.io", broken, tmp_path)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            """read server; echo '{"Username":"me","Secret":"'"$server"'"}'""",
            Credentials(username="me", password="r.io"),
        ),
        ("""echo '{"Username":"<token>","Secret":"s"}'""", Credentials(identity_token="s")),
        ("exit 1", None),
    ],
)
def test_credential_helpers(
    script: str, found: Credentials | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert _find("r.io", {"credHelpers": {"r.io": "test"}}, tmp_path) == found
    assert _find("r.io", {"credsStore": "test"}, tmp_path) == found


def test_helpers_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidArgument, match="not the name of a program"):
        _find("r.io", {"credsStore": "../x"}, tmp_path)
    with pytest.raises(Unavailable, match="can't be run"):
        _find("r.io", {"credsStore": "missing"}, tmp_path)


def test_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inner.io, .corp")
    assert proxy_for(URL("https://r.io/x")) == URL("http://proxy:3128")
    assert proxy_for(URL("http://r.io/x")) is None
    assert proxy_for(URL("https://a.inner.io")) is None
    assert proxy_for(URL("https://a.corp")) is None
    assert proxy_for(URL("https://notinner.io")) is not None
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for(URL("https://r.io")) is None
