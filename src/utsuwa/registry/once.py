"""Single questions to a registry, each with a connection of its own."""

from __future__ import annotations

from utsuwa.registry.client import RegistryClient
from utsuwa.registry.configuration import Registries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.registry.credentials import Credentials


async def log_in(domain: str, credentials: Credentials) -> None:
    """Whether the registry takes them. Raises PermissionDenied, Unavailable."""
    async with RegistryClient(domain, credentials, place=Registries().origin(domain)) as registry:
        await registry.log_in()


async def search(domain: str, term: str, limit: int) -> list[dict[str, object]]:
    """What the registry finds. Raises Unsupported when it can't be searched."""
    async with RegistryClient(domain, place=Registries().origin(domain)) as registry:
        return await registry.search(term, limit)
