"""Image documents: what is taken, and everything that could be read in two ways."""

from __future__ import annotations

import json

import pytest

from tests import archives
from utsuwa.errors import Error, InvalidArgument, Unsupported
from utsuwa.spec import image

GOOD = {"mediaType": image.OCI_CONFIG, "digest": "sha256:" + "0" * 64, "size": 2}
LAYER = GOOD | {"mediaType": image.OCI_LAYER + "+gzip"}


def _manifest(**changes: object) -> bytes:
    return json.dumps(
        {"schemaVersion": 2, "mediaType": image.OCI_MANIFEST, "config": GOOD, "layers": [LAYER]} | changes
    ).encode()


@pytest.mark.parametrize("docker", [False, True])
def test_both_families_of_media_types_are_taken(docker: bool) -> None:
    made = archives.image(archives.archive(), docker=docker)
    data = made.blobs[made.manifest]
    assert image.kind(made.types[made.manifest], data) == "manifest"
    manifest = image.manifest(data)
    config = image.config(made.blobs[manifest.config.digest], 1)
    assert config.settings.Cmd == ("/bin/sh",)
    listing, kind = archives.index(made.descriptor({"os": "linux", "architecture": "amd64"}), docker=docker)
    assert image.kind(kind, listing) == "index"
    assert image.index(listing).manifests[0].digest == made.manifest


@pytest.mark.parametrize(
    ("served", "data", "error", "text"),
    [
        ("", _manifest(manifests=[]), InvalidArgument, "read in two ways"),
        (image.OCI_INDEX, _manifest(mediaType=None), InvalidArgument, "another kind"),
        (image.DOCKER_MANIFEST, _manifest(), InvalidArgument, "calls itself"),
        ("", _manifest(mediaType=image.OCI_INDEX), InvalidArgument, "another kind"),
        ("", b'{"schemaVersion":1,"fsLayers":[]}', Unsupported, "schema 1 is not supported"),
        (image.SCHEMA_1[1], b"{}", Unsupported, "schema 1 is not supported"),
        ("", b"{}", InvalidArgument, "neither"),
        ("", b"[]", InvalidArgument, "object"),
        ("", b"<html>", InvalidArgument, "json"),
        ("", _manifest(mediaType="application/vnd.x"), Unsupported, "not supported"),
    ],
)
def test_confusion_is_refused(served: str, data: bytes, error: type[Error], text: str) -> None:
    with pytest.raises(error, match=text):
        image.kind(served, data)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"config": GOOD | {"digest": "sha256:12"}}, InvalidArgument, r"config\.digest: "),
        ({"config": GOOD | {"digest": "md5:12"}}, Unsupported, r"config\.digest: "),
        ({"config": GOOD | {"size": -1}}, InvalidArgument, r"config\.size"),
        ({"config": GOOD | {"size": 1 << 30}}, InvalidArgument, "over the limit"),
        ({"config": GOOD | {"mediaType": "application/vnd.helm.config.v1+json"}}, Unsupported, "helm"),
        ({"layers": [LAYER | {"mediaType": "text/plain"}]}, Unsupported, r"layers\[0\]\.mediaType"),
        ({"layers": [LAYER] * 501}, Unsupported, "501 layers"),
        ({"layers": "x"}, InvalidArgument, "layers: expected a list"),
        ({"config": None}, InvalidArgument, "config"),
    ],
)
def test_bad_manifests_are_refused_with_their_path(changes: dict[str, object], error: type[Error], text: str) -> None:
    with pytest.raises(error, match=text):
        image.manifest(_manifest(**changes))


def test_a_configuration_must_agree_with_its_manifest() -> None:
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    assert image.config(json.dumps(config).encode(), 0).settings.Env is None
    with pytest.raises(InvalidArgument, match="0 entries for 1 layers"):
        image.config(json.dumps(config).encode(), 1)
    config["rootfs"] = {"type": "layers", "diff_ids": ["sha256:x"]}
    with pytest.raises(InvalidArgument, match=r"rootfs\.diff_ids\[0\]"):
        image.config(json.dumps(config).encode())


def test_chain_ids_are_those_of_the_specification() -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert image.chain_ids(()) == ()
    assert image.chain_ids((one, two)) == (one, archives.digest(f"{one} {two}".encode()))
