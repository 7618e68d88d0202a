"""`urun state`: what a container is now (runtime.md "Query State")."""

from __future__ import annotations

from utsuwa.runtime.record import STOPPED, Container, Store


def state(store: Store, identifier: str) -> dict[str, object]:
    """The state document of a container. Raises NotFound."""
    return describe(store.open(identifier))


def describe(container: Container) -> dict[str, object]:
    """The state document in the order in which runc prints it; ``pid`` is 0 when stopped."""
    status = container.status()
    document = container.document
    described: dict[str, object] = {
        "ociVersion": document.ociVersion,
        "id": document.id,
        "pid": 0 if status == STOPPED else document.pid,
        "status": status,
        "bundle": document.bundle,
        "rootfs": document.rootfs,
        "created": document.created,
    }
    if document.annotations:
        described["annotations"] = document.annotations
    described["owner"] = ""
    return described
