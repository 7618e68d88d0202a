"""`urun explain`: the plan of a bundle on this host without carrying it out, and what two bundles' plans differ in."""

from __future__ import annotations

from utsuwa.linux.host import probe
from utsuwa.plan.create import create as plan_create
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.draft import CreateRequest, manager_for, options
from utsuwa.runtime.record import Container, Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.plan.compare import Change
    from utsuwa.plan.plan import Plan, Step

_PLACE = "BUNDLE"


def plan(bundle: str, identifier: str = "ID", systemd_cgroup: bool = False) -> Plan:
    """Every kernel operation that `create` asks for, in order. Raises what `create` does of a bundle."""
    return _planned(bundles.load(bundle), identifier, systemd_cgroup)


def differences(first: str, second: str, systemd_cgroup: bool = False) -> list[Change]:
    """How the plan of the second bundle comes of the first one's. Where the bundles lie makes no difference."""
    from utsuwa.plan.compare import compare

    one, other = [_planned(_anywhere(bundles.load(path)), "ID", systemd_cgroup) for path in (first, second)]
    return compare(one, other)


def plan_of(container: Container) -> Plan:
    """The plan that an existing container was made by, as far as the host is still the same."""
    document = container.document
    spec = container.spec()
    if (document.options or {}).get("notify"):
        from utsuwa.runtime import notify

        spec = notify.arranged(spec, container.path)
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


def document(plan: Plan) -> dict[str, Any]:
    """The plan for programs: each operation by the name that docs/child-protocol.md has for it, with its fields."""
    return {"operations": [_step(step) for step in plan.steps], "warnings": list(plan.warnings)}


def documents(changes: list[Change]) -> list[dict[str, Any]]:
    """What differs, for programs: ``before`` and ``after`` are the numbers of the operation in the plans, or 0."""
    return [{"before": each.before, "after": each.after, **_step(each.step)} for each in changes if each.sign != " "]


def described(changes: list[Change]) -> str:
    """What differs, for people: nothing for plans that are alike."""
    lines: list[str] = []
    alike = 0
    for index, change in enumerate(changes):
        if change.sign == " ":
            alike += 1
            continue
        lines += [f"     ({alike} alike)"] * (alike > 0)
        alike = 0
        lines.append(f"{change.sign}{change.before or change.after:4} {change.step}{_unseen(changes, index)}")
    lines += [f"     ({alike} alike)"] * (alike > 0 and bool(lines))
    return "".join([f"{line}\n" for line in lines])


def _unseen(changes: list[Change], index: int) -> str:
    """The names of fields that differ where the words for an operation and its neighbour are the same."""
    op = changes[index].step.op
    for other in changes[max(index - 1, 0) : index + 2]:
        if other.sign not in (" ", changes[index].sign) and str(other.step) == str(changes[index].step):
            pairs = zip(op.fields, op.values(), other.step.op.values(), strict=True)
            return f" ({', '.join(name for name, mine, theirs in pairs if mine != theirs)} differs)"
    return ""


def _step(step: Step) -> dict[str, Any]:
    op = step.op
    name = "".join(f"_{letter}" if letter.isupper() else letter for letter in type(op).__name__)[1:].upper()
    fields = {field: _plain(value) for field, value in zip(op.fields, op.values(), strict=True)}
    return {"op": name, "fields": fields, "section": step.section, "description": op.describe()}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value


def _anywhere(bundle: bundles.Bundle) -> bundles.Bundle:
    """The bundle as it would be in a place called BUNDLE."""
    root = bundle.rootfs
    if root == bundle.path or root.startswith(bundle.path + "/"):
        root = _PLACE + root[len(bundle.path) :]
    return bundles.Bundle(_PLACE, b"", bundle.spec, root)


def _planned(bundle: bundles.Bundle, identifier: str, systemd_cgroup: bool) -> Plan:
    console = 0 if bundle.spec.process and bundle.spec.process.terminal else -1
    request = CreateRequest(id=identifier, bundle=bundle.path, console=console, systemd_cgroup=systemd_cgroup)
    return _plan(request, bundle)


def _plan(request: CreateRequest, bundle: bundles.Bundle) -> Plan:
    host = probe()
    manager = manager_for(request, bundle, host)
    document = Document(
        id=request.id, ociVersion=bundle.spec.ociVersion, bundle=bundle.path, rootfs=bundle.rootfs, created=""
    )
    return plan_create(bundle.spec, host, options(request, bundle, manager, document, await_start=True, filters=""))
