"""`urun explain`: a plan, or what two plans differ in, for people or for programs."""

from __future__ import annotations

from utsuwa.cli.arguments import quoted
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def explain(options: dict[str, Any], words: list[str], systemd_cgroup: bool) -> tuple[str, int]:
    """What to print and the exit code: 1 where something differs, as diff(1) has it. ``words``: the two bundles of
    --diff. Raises InvalidArgument.
    """
    form = options.get("format", "text")
    if form not in ("text", "json"):
        raise InvalidArgument(f"invalid format option {quoted(form)}: use text or json")
    if options.get("diff"):
        return _differences(words, form, systemd_cgroup)
    if words:
        raise InvalidArgument(f"unexpected argument {quoted(words[0])}: name a bundle by --bundle, or two after --diff")
    from utsuwa.runtime.explain import document, plan

    found = plan(options.get("bundle", ""), systemd_cgroup=systemd_cgroup)
    return (_json(document(found)) if form == "json" else found.describe()), 0


def _differences(words: list[str], form: str, systemd_cgroup: bool) -> tuple[str, int]:
    if len(words) != 2:
        raise InvalidArgument("--diff needs two bundles: urun explain --diff A B")
    from utsuwa.runtime.explain import described, differences, documents

    changes = differences(words[0], words[1], systemd_cgroup=systemd_cgroup)
    code = int(any(change.sign != " " for change in changes))
    if form == "json":
        return _json(documents(changes)), code
    return (f"--- {words[0]}\n+++ {words[1]}\n{described(changes)}" if code else ""), code


def _json(value: object) -> str:
    from utsuwa.spec.codec import dumps

    return dumps(value, indent=2) + "\n"
