"""To a real registry and back: push, what is left out of it, logins, mirrors, all tags."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import registry
from tests.integration.household import IMAGE, Household
from tests.integration.test_engine_pull import Installed
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "docker-registry", "skopeo")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    directory = tmp_path_factory.mktemp("push")
    household = Installed(directory)
    household.environment |= {
        "DOCKER_CONFIG": str(directory / "docker"),
        "UTSUWA_REGISTRIES": str(directory / "registries.toml"),
    }
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.running(tmp_path_factory.mktemp("registry")) as name:
        yield name


@pytest.fixture
def house(base: Installed) -> Iterator[Installed]:
    yield base
    for path in (base.environment["UTSUWA_REGISTRIES"], f"{base.environment['DOCKER_CONFIG']}/config.json"):
        Path(path).unlink(missing_ok=True)


def _forget(house: Household, *names: str) -> None:
    for name in names:
        house.ok("rmi", "-f", name)


def test_pushed_and_pulled_again(house: Installed, host: str, tmp_path: Path) -> None:
    name = f"{host}/team/app:1"
    house.ok("tag", IMAGE, name)
    lines = house.ok("push", name).splitlines()
    assert lines[0] == f"The push refers to repository [{host}/team/app]"
    assert lines[1].endswith(": Preparing") and lines[2].endswith(": Pushed")
    digest = lines[-1].split()[2]
    assert lines[-1].startswith("1: digest: sha256:")
    assert house.ok("images", "--digests", "--format", "{{.Digest}}", name).strip() == digest
    raw = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"], capture_output=True, check=True
    )
    assert json.loads(raw.stdout)["Digest"] == digest
    whole = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", f"docker://{name}"]
    whole.append(f"oci:{tmp_path}:x")
    subprocess.run(whole, capture_output=True, check=True)
    assert house.ok("push", f"{host}/team/app:1").splitlines()[2].endswith(": Layer already exists")
    before = house.ok("inspect", "-f", "{{.Id}}", name)
    _forget(house, name)
    house.ok("pull", "-q", f"{host}/team/app@{digest}")
    assert house.ok("inspect", "-f", "{{.Id}}", f"{host}/team/app@{digest}") == before
    _forget(house, f"{host}/team/app@{digest}")


def test_a_layer_is_mounted_from_another_repository(house: Installed, host: str) -> None:
    house.ok("tag", IMAGE, f"{host}/one:1")
    house.ok("tag", IMAGE, f"{host}/other/two:1")
    house.ok("push", "-q", f"{host}/one:1")
    assert house.ok("push", f"{host}/other/two:1").splitlines()[2].endswith(": Mounted from one")
    _forget(house, f"{host}/one:1", f"{host}/other/two:1")


def test_a_large_layer_goes_in_chunks(house: Installed, host: str) -> None:
    noise = "dd if=/dev/urandom of=/noise bs=1M count=40 2>/dev/null"
    house.ok("run", "--name", "large", IMAGE, "sh", "-c", noise.replace("dd", "busybox dd"))
    house.ok("commit", "large", f"{host}/large")
    assert house.ok("push", f"{host}/large").startswith("Using default tag: latest\nThe push refers to")
    _forget(house, f"{host}/large")
    house.ok("pull", "-q", f"{host}/large")
    assert house.ok("run", "--rm", f"{host}/large", "sh", "-c", "stat -c %s /noise") == f"{40 << 20}\n"
    house.ok("rm", "large")
    _forget(house, f"{host}/large")


def test_all_tags_both_ways(house: Installed, host: str) -> None:
    for tag in ("a", "b"):
        house.ok("tag", IMAGE, f"{host}/many:{tag}")
    assert house.ok("push", "-a", f"{host}/many").count("digest: sha256:") == 2
    _forget(house, f"{host}/many:a", f"{host}/many:b")
    assert house.ok("pull", "-aq", f"{host}/many") == f"{host}/many\n"
    assert house.ok("images", "--format", "{{.Tag}}", f"{host}/many").split() == ["a", "b"]
    assert b"tag can't be used with --all-tags/-a" in house("pull", "-a", f"{host}/many:a").stderr
    _forget(house, f"{host}/many:a", f"{host}/many:b")


def test_what_can_not_be_pushed(house: Installed, host: str) -> None:
    missing = house("push", f"{host}/nothing:1")
    assert missing.returncode == 1
    assert f"An image does not exist locally with the tag: {host}/nothing" in missing.stderr.decode()
    assert b"cannot push a digest reference" in house("push", f"{host}/x@sha256:{'0' * 64}").stderr
    assert b"can't be searched, it has no /v1/search" in house("search", f"{host}/word").stderr


def test_logins_are_tried_kept_and_forgotten(house: Installed, tmp_path: Path) -> None:
    config = Path(house.environment["DOCKER_CONFIG"], "config.json")
    with registry.running(tmp_path, login=True) as host:
        house.ok("tag", IMAGE, f"{host}/app:1")
        refused = house("push", f"{host}/app:1")
        assert refused.returncode == 1 and b"log in first" in refused.stderr
        wrong = house("login", "-u", "user", "-p", "wrong", host)
        assert wrong.returncode == 1 and not config.exists()
        done = house("login", "-u", "user", "--password-stdin", host, stdin=b"secret\n")
        assert (done.returncode, done.stdout) == (0, b"Login Succeeded\n")
        assert b"stored unencrypted" in done.stderr
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert json.loads(config.read_text()) == {"auths": {host: {"auth": "dXNlcjpzZWNyZXQ="}}}
        house.ok("push", "-q", f"{host}/app:1")
        assert house.ok("login", host) == "Authenticating with existing credentials...\nLogin Succeeded\n"
        assert house.ok("logout", host) == f"Removing login credentials for {host}\n"
        assert house.ok("logout", host) == f"Not logged in to {host}\n"
        assert house("push", f"{host}/app:1").returncode == 1
        _forget(house, f"{host}/app:1")


_HELPER = """#!/bin/sh
case $1 in
store) cat >"$KEEP/secret" ;;
get) [ -e "$KEEP/secret" ] && cat "$KEEP/secret" || exit 1 ;;
erase) rm -f "$KEEP/secret" ;;
esac
"""


def test_a_credential_helper_keeps_the_secret(house: Installed, tmp_path: Path) -> None:
    helper, config = tmp_path / "docker-credential-kept", Path(house.environment["DOCKER_CONFIG"], "config.json")
    helper.write_text(_HELPER)
    helper.chmod(0o755)
    more = {"KEEP": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment = house.environment
    house.environment = {**environment, **more}
    try:
        with registry.running(tmp_path, login=True) as host:
            config.parent.mkdir(exist_ok=True)
            config.write_text(json.dumps({"credHelpers": {host: "kept"}, "proxies": {"x": 1}}))
            assert house.ok("login", "-u", "user", "--password-stdin", host, stdin=b"secret") == "Login Succeeded\n"
            known = {"credHelpers": {host: "kept"}, "proxies": {"x": 1}, "auths": {host: {}}}
            assert json.loads(config.read_text()) == known
            assert json.loads((tmp_path / "secret").read_text())["Secret"] == "secret"
            house.ok("tag", IMAGE, f"{host}/app:1")
            house.ok("push", "-q", f"{host}/app:1")
            house.ok("logout", host)
            assert not (tmp_path / "secret").exists() and json.loads(config.read_text())["auths"] == {}
            _forget(house, f"{host}/app:1")
    finally:
        house.environment = environment


def test_a_mirror_is_asked_first_and_the_registry_when_it_fails(house: Installed, host: str, tmp_path: Path) -> None:
    settings = Path(house.environment["UTSUWA_REGISTRIES"])
    house.ok("tag", IMAGE, f"{host}/library/mirrored:1")
    house.ok("push", "-q", f"{host}/library/mirrored:1")
    _forget(house, f"{host}/library/mirrored:1")
    settings.write_text(f'[registry."docker.io"]\nmirrors = ["http://{host}"]\n')
    assert house.ok("pull", "-q", "mirrored:1") == "docker.io/library/mirrored:1\n"
    assert house.ok("run", "--rm", "mirrored:1", "echo", "it is") == "it is\n"
    _forget(house, "mirrored:1")
    settings.write_text(f'[registry."{host}"]\nmirrors = ["http://127.0.0.1:1", "http://{host}/nowhere"]\n')
    house.ok("pull", "-q", f"{host}/library/mirrored:1")
    _forget(house, f"{host}/library/mirrored:1")
    settings.write_text('[registry."docker.io"]\nmirors = []\n')
    broken = house("pull", "mirrored:1")
    assert broken.returncode == 1 and b'registry."docker.io".mirors: expected one of mirrors' in broken.stderr
