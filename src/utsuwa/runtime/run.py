"""`urun run`: create, start, and in the foreground wait and delete, with one plan that does not stop in between."""

from __future__ import annotations

from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.create import build, check_console
from utsuwa.runtime.draft import CreateRequest, begin_ahead
from utsuwa.runtime.record import Container, Store
from utsuwa.runtime.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.init.spare import Spare
    from utsuwa.runtime.console import Terminal


def run(
    store: Store, request: CreateRequest, *, detach: bool = False, keep: bool = False, subreaper: bool = True
) -> tuple[int, list[str]]:
    """Run a container; in the foreground until it ends, with our terminal if it wants one.

    Gives the exit code (0 when detached) and warnings. ``keep`` leaves the stopped container for `delete`.
    """
    bundle = bundles.read(request.bundle)
    spare = begin_ahead(request, bundle)
    try:
        bundle.rootfs  # noqa: B018 - asked for, it is checked
        terminal = bool(bundle.spec.process and bundle.spec.process.terminal)
        check_console(terminal, detach, request.console >= 0)
        if not terminal or detach:
            return _run(store, request, bundle, None, detach, keep, subreaper, spare)
    finally:
        if spare is not None:
            spare.dismiss()
    from utsuwa.runtime.console import Terminal

    screen = Terminal()
    if bundle.spec.process is not None:
        bundle.spec = bundle.spec.replace(process=screen.sized(bundle.spec.process))
    request = request.replace(console=screen.theirs.fileno(), foreground=True)
    return _run(store, request, bundle, screen, False, keep, subreaper)


def _run(
    store: Store,
    request: CreateRequest,
    bundle: bundles.Bundle,
    screen: Terminal | None,
    detach: bool,
    keep: bool,
    subreaper: bool,
    spare: Spare | None = None,
) -> tuple[int, list[str]]:
    with Undo() as undo:
        if screen is not None:
            undo.push(screen.show_rest)
        container, child = build(
            store, request, bundle, undo, await_start=False, meanwhile=_load_what_follows, spare=spare
        )
        if not detach and subreaper and not container.document.ownPidNamespace:
            from utsuwa.runtime.process import become_subreaper

            become_subreaper()
        if container.document.poststart:
            from utsuwa.runtime.start import poststart

            poststart(container)
    container.unlock()
    if container.readiness is not None:
        from utsuwa.runtime.notify import attend as attend_readiness

        attend_readiness(container.readiness, child.pid, detach)
    if detach:
        return 0, container.warnings
    code = attend(child.pid, screen)
    return code, container.warnings + ([] if keep else remove(container))


def _load_what_follows(_pid: int) -> None:
    """Import what only the wait and the removal need: done while the container's process is at its own work."""
    from utsuwa.runtime import delete, foreground  # noqa: F401


def attend(pid: int, screen: Terminal | None) -> int:
    """Stay with our child until it ends: signals go to it, and our terminal is its. Gives its exit code."""
    from utsuwa.runtime import foreground

    if screen is None:
        return foreground.wait(pid)
    screen.receive()
    signals = foreground.Signals(pid)
    with screen:
        screen.resize()
        screen.copy(pid, signals)
    return foreground.wait(pid)


def remove(container: Container) -> list[str]:
    """Remove the container that ended, unless somebody else has done so meanwhile."""
    from utsuwa.errors import NotFound
    from utsuwa.runtime.delete import discard

    try:
        container.lock()
    except NotFound:
        return []
    try:
        return discard(container)
    finally:
        container.unlock()
