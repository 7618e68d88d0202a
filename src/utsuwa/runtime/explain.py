"""`urun explain`: the plan of a bundle on this host, without carrying it out."""

from __future__ import annotations

from utsuwa.linux.host import probe
from utsuwa.plan.create import create as plan_create
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.draft import CreateRequest, manager_for, options
from utsuwa.runtime.record import Container, Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.plan.plan import Plan


def explain(bundle: str, identifier: str = "ID", systemd_cgroup: bool = False) -> str:
    """Every kernel operation that `create` asks for, one a line, with the section of the specification it is from."""
    loaded = bundles.load(bundle)
    console = 0 if loaded.spec.process and loaded.spec.process.terminal else -1
    request = CreateRequest(id=identifier, bundle=bundle, console=console, systemd_cgroup=systemd_cgroup)
    return _plan(request, loaded).describe()


def plan_of(container: Container) -> Plan:
    """The plan that an existing container was made by, as far as the host is still the same."""
    document = container.document
    spec = container.spec()
    console = 0 if spec.process and spec.process.terminal else -1
    chosen = document.options or {}
    request = CreateRequest(
        id=container.id,
        bundle=document.bundle,
        console=console,
        no_pivot=bool(chosen.get("no_pivot")),
        no_new_keyring=bool(chosen.get("no_new_keyring")),
        systemd_cgroup=(document.cgroup or {}).get("version") == "systemd",
    )
    return _plan(request, bundles.Bundle(document.bundle, b"", spec, document.rootfs))


def _plan(request: CreateRequest, bundle: bundles.Bundle) -> Plan:
    host = probe()
    manager = manager_for(request, bundle, host)
    document = Document(
        id=request.id, ociVersion=bundle.spec.ociVersion, bundle=bundle.path, rootfs=bundle.rootfs, created=""
    )
    return plan_create(bundle.spec, host, options(request, bundle, manager, document, await_start=True, filters=""))
