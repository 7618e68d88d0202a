"""Manifest lists in the making: images of several platforms that registries have, to be put under one name there.

    ROOT/images/lists/NAME.json     one list, replaced by rename ("/" written as "+")

`manifest create` looks an image up where it is, `annotate` changes what is said of its platform, `push` sends the list.
"""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, InvalidArgument, NotFound, from_oserror
from utsuwa.spec import codec, image
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.spec.reference import Reference


class Offer(Record):
    """One image of a list, as the registry has it under ``name``, and the platform that the list says it is for."""

    name: str
    mediaType: str
    digest: str
    size: int
    architecture: str
    os: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Its entry in an index, with the properties in the order in which Docker writes them."""
        platform: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            platform["os.version"] = self.os_version
        if self.os_features:
            platform["os.features"] = list(self.os_features)
        if self.variant:
            platform["variant"] = self.variant
        return {"mediaType": self.mediaType, "size": self.size, "digest": self.digest, "platform": platform}


class ManifestList(Record):
    """A list under its name."""

    name: str
    offers: tuple[Offer, ...] = ()

    def document(self) -> dict[str, Any]:
        """The index. Raises InvalidArgument for one without images."""
        if not self.offers:
            raise InvalidArgument(f"{self.name} has no images")
        docker = all(offer.mediaType == image.DOCKER_MANIFEST for offer in self.offers)
        media_type = image.DOCKER_LIST if docker else image.OCI_INDEX
        return {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [offer.described() for offer in self.offers],
        }


class Lists:
    """The lists beneath an image store's root."""

    def __init__(self, root: str) -> None:
        self._folder = f"{root}/images/lists"

    def _path(self, name: Reference) -> str:
        return f"{self._folder}/{str(name.tagged()).replace('/', '+')}.json"

    def find(self, name: Reference) -> ManifestList:
        """The list of a name. Raises NotFound in Docker's words."""
        try:
            with open(self._path(name), "rb", buffering=0) as file:
                found: ManifestList = codec.decode(ManifestList, file.read())
        except FileNotFoundError:
            raise NotFound(f"No such manifest: {name.tagged().familiar()}") from None
        return found

    def add(self, name: Reference, offers: list[Offer], *, amend: bool) -> None:
        """Make a list, or with ``amend`` put images into one that is there, in the place of those of their name.

        Raises Conflict for a list that is there already.
        """
        known: tuple[Offer, ...] = ()
        try:
            known = self.find(name).offers
        except NotFound:
            pass
        else:
            if not amend:
                raise Conflict("refusing to amend an existing manifest list with no --amend flag")
        new = {offer.name for offer in offers}
        kept = [offer for offer in known if offer.name not in new]
        self.keep(ManifestList(name=str(name.tagged()), offers=(*kept, *offers)), name)

    def change(self, name: Reference, member: Reference, values: dict[str, Any]) -> None:
        """Say something else of one image's platform. Raises NotFound for one that is not in the list."""
        wanted = str(member.tagged())
        try:
            found = self.find(name)
        except NotFound:
            found = ManifestList(name=str(name))
        if all(offer.name != wanted for offer in found.offers):
            shown = member.tagged().familiar()
            raise NotFound(f"manifest for image {shown} does not exist in {name.tagged().familiar()}")
        offers = [offer.replace(**values) if offer.name == wanted else offer for offer in found.offers]
        self.keep(found.replace(offers=tuple(offers)), name)

    def keep(self, found: ManifestList, name: Reference) -> None:
        """Write a list down."""
        path = self._path(name)
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/.{last}.{os.getpid()}"
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            with open(temporary, "wb", buffering=0) as file:
                file.write(codec.dumps(found).encode())
            os.rename(temporary, path)
        except OSError as error:
            raise from_oserror(error, f"write {path}") from error

    def remove(self, name: Reference) -> None:
        """Forget a list. Raises NotFound."""
        self.find(name)
        os.unlink(self._path(name))
