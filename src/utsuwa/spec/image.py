"""The documents of an image (OCI image specification 1.1): descriptor, manifest, index, configuration.

Docker's manifest schema 2 has the same properties under other media types, so the same records serve. Property names
are the documents' own; what an image's author writes is hostile: use :func:`manifest`, :func:`index` and
:func:`config`, which check.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec import codec
from utsuwa.spec import digest as digests
from utsuwa.spec.healthcheck import Healthcheck as Healthcheck
from utsuwa.spec.platform import Platform
from utsuwa.spec.record import Record, shown

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)
SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_LAYERS = (OCI_LAYER, DOCKER_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar",
           "application/vnd.docker.image.rootfs.foreign.diff.tar")  # fmt: skip
_COMPRESSIONS = ("", "+gzip", "+zstd", ".gzip", ".zstd")

MANIFEST_LIMIT = 4 << 20
"""Largest manifest or index read, in bytes (distribution-spec, "Pushing Manifests")."""
CONFIG_LIMIT = 8 << 20
"""Largest image configuration read, in bytes."""
LAYER_COUNT_LIMIT = 500
"""Most layers of one image: what overlayfs can stack (OVL_MAX_STACK)."""


class Descriptor(Record):
    """What to fetch and how to know it (descriptor.md); ``size`` in bytes."""

    mediaType: str
    digest: str
    size: int
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    data: str | None = None
    artifactType: str | None = None
    platform: Platform | None = None


class Manifest(Record):
    """One image for one platform (manifest.md); layers bottom first."""

    schemaVersion: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    mediaType: str = ""
    artifactType: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(Record):
    """The same image for several platforms (image-index.md)."""

    schemaVersion: int
    manifests: tuple[Descriptor, ...]
    mediaType: str = ""
    artifactType: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Empty(Record):
    """The ``{}`` that stands for membership in the sets of :class:`Settings`."""


class Settings(Record):
    """What a container of the image starts with unless told otherwise (config.md, ``config``)."""

    User: str | None = None
    ExposedPorts: dict[str, Empty] | None = None
    Env: tuple[str, ...] | None = None
    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    Volumes: dict[str, Empty] | None = None
    WorkingDir: str | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | None = None
    StopTimeout: int | None = None
    Healthcheck: Healthcheck | None = None
    Shell: tuple[str, ...] | None = None
    ArgsEscaped: bool | None = None
    OnBuild: tuple[str, ...] | None = None


class RootFS(Record):
    """The layers as digests of their uncompressed archives, bottom first."""

    type: str
    diff_ids: tuple[str, ...]


class History(Record):
    """One line of the image's making."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class ImageConfig(Record):
    """An image's configuration; its digest is the image ID (config.md)."""

    architecture: str
    os: str
    rootfs: RootFS
    created: str | None = None
    author: str | None = None
    variant: str | None = None
    config: Settings | None = None
    history: tuple[History, ...] | None = None

    @property
    def settings(self) -> Settings:
        """``config``, or an empty one."""
        return self.config or Settings()

    @property
    def platform(self) -> Platform:
        """What the image was made for."""
        return Platform(os=self.os, architecture=self.architecture, variant=self.variant or "")


def kind(media_type: str, data: bytes) -> str:
    """``index`` or ``manifest``: what ``data`` is, served as ``media_type`` ("" when nobody said).

    Raises Unsupported for schema 1, InvalidArgument for anything that could be read as two things (CVE-2021-41190).
    """
    document = codec.parse(data)
    if not isinstance(document, dict):
        raise InvalidArgument("a manifest must be a JSON object")
    if document.get("schemaVersion") == 1 or "fsLayers" in document or media_type in SCHEMA_1:
        raise Unsupported("image manifest schema 1 is not supported, have the image pushed again as an OCI image")
    inner = document.get("mediaType") or ""
    if not isinstance(inner, str):
        raise InvalidArgument("mediaType: expected a string")
    if inner and media_type in INDEXES + MANIFESTS and inner != media_type:
        raise InvalidArgument(f"manifest served as {shown(media_type)} calls itself {shown(inner)}")
    is_index, is_manifest = "manifests" in document, "layers" in document or "config" in document
    if is_index and is_manifest:
        raise InvalidArgument("manifest with both layers and manifests, it could be read in two ways")
    declared = inner or media_type
    if declared in INDEXES + MANIFESTS and (declared in INDEXES) != is_index:
        raise InvalidArgument(f"manifest declared as {shown(declared)} has the content of another kind")
    if inner and inner not in INDEXES + MANIFESTS:
        raise Unsupported(f"manifest of type {shown(inner)} is not supported, expected an image")
    if not (is_index or is_manifest):
        raise InvalidArgument("manifest with neither layers nor manifests")
    return "index" if is_index else "manifest"


def index(data: bytes) -> Index:
    """The index in ``data``, every descriptor checked."""
    found: Index = codec.decode(Index, data)
    for place, descriptor in enumerate(found.manifests):
        check(descriptor, f"manifests[{place}]")
    return found


def manifest(data: bytes) -> Manifest:
    """The manifest of a container image in ``data``, every descriptor checked; Unsupported for other artifacts."""
    found: Manifest = codec.decode(Manifest, data)
    check(found.config, "config")
    if found.config.mediaType not in CONFIGS:
        name = shown(found.artifactType or found.config.mediaType)
        raise Unsupported(f"artifact of type {name} is not supported, expected an image")
    if found.config.size > CONFIG_LIMIT:
        raise InvalidArgument(f"config.size: {found.config.size} is over the limit of {CONFIG_LIMIT} bytes")
    if len(found.layers) > LAYER_COUNT_LIMIT:
        raise Unsupported(f"image of {len(found.layers)} layers is not supported, the limit is {LAYER_COUNT_LIMIT}")
    for place, layer in enumerate(found.layers):
        check(layer, f"layers[{place}]")
        if not is_layer(layer.mediaType):
            raise Unsupported(f"layers[{place}].mediaType: {shown(layer.mediaType)} is not supported")
    return found


def config(data: bytes, layer_count: int | None = None) -> ImageConfig:
    """The image configuration in ``data``; ``layer_count`` is what its manifest says."""
    found: ImageConfig = codec.decode(ImageConfig, data)
    if found.rootfs.type != "layers":
        raise Unsupported(f"rootfs.type: {shown(found.rootfs.type)} is not supported")
    for place, diff_id in enumerate(found.rootfs.diff_ids):
        try:
            digests.parse(diff_id)
        except (InvalidArgument, Unsupported) as error:
            raise error.within(f"rootfs.diff_ids[{place}]") from None
    if layer_count is not None and len(found.rootfs.diff_ids) != layer_count:
        raise InvalidArgument(f"rootfs.diff_ids: {len(found.rootfs.diff_ids)} entries for {layer_count} layers")
    return found


def check(descriptor: Descriptor, path: str) -> None:
    """Raise unless digest and size of a descriptor make sense; ``path`` is its JSON path."""
    try:
        digests.parse(descriptor.digest)
    except (InvalidArgument, Unsupported) as error:
        raise error.within(f"{path}.digest") from None
    if not 0 <= descriptor.size < 1 << 50:
        raise InvalidArgument(f"{path}.size: {descriptor.size} is not a size in bytes")


def is_layer(media_type: str) -> bool:
    """Whether the media type is a file system layer's; how it is compressed is told by its first bytes instead."""
    return any(media_type == base + suffix for base in _LAYERS for suffix in _COMPRESSIONS)


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain IDs of a stack of layers, bottom first: each names a layer with all that is below it (config.md, "Layer
    ChainID").
    """
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digests.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
