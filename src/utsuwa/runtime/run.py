"""`urun run`: create, start, and in the foreground wait and delete, with one plan that does not stop in between."""

from __future__ import annotations

from utsuwa.runtime import bundle as bundles
from utsuwa.runtime.create import build, check_console
from utsuwa.runtime.draft import CreateRequest, Draft, begin_ahead, foreseen, may_begin_ahead
from utsuwa.runtime.kept import Kept
from utsuwa.runtime.record import Container, Store
from utsuwa.runtime.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.init.spare import Spare
    from utsuwa.linux.host import Host
    from utsuwa.runtime.console import Terminal


def run(
    store: Store, request: CreateRequest, *, detach: bool = False, keep: bool = False, subreaper: bool = True
) -> tuple[int, list[str]]:
    """Run a container; in the foreground until it ends, with our terminal if it wants one.

    Gives the exit code (0 when detached) and warnings. ``keep`` leaves the stopped container for `delete`.
    """
    bundle = bundles.read(request.bundle)
    run = _Run(store, request, bundle, detach, keep, subreaper)
    if may_begin_ahead(request):
        kept = Kept(store.drafts, request, bundle)
        if kept.found or foreseen(bundle.document):
            return run.ahead(kept)
    bundle.rootfs  # noqa: B018 - asked for, it is checked
    terminal = bool(bundle.spec.process and bundle.spec.process.terminal)
    check_console(terminal, detach, request.console >= 0)
    return run.on_terminal() if terminal and not detach else run.carry_out()


class _Run:
    """One `run`: how it is wanted, and what has been prepared for it."""

    def __init__(
        self,
        store: Store,
        request: CreateRequest,
        bundle: bundles.Bundle,
        detach: bool,
        keep: bool,
        subreaper: bool,
    ) -> None:
        self._store, self._request, self._bundle = store, request, bundle
        self._detach, self._keep, self._subreaper = detach, keep, subreaper
        self._screen: Terminal | None = None

    def on_terminal(self) -> tuple[int, list[str]]:
        """With our terminal, in the foreground."""
        from utsuwa.runtime.console import Terminal

        screen = self._screen = Terminal()
        if self._bundle.spec.process is not None:
            process = screen.sized(self._bundle.spec.process)
            self._bundle.spec = self._bundle.spec.replace(process=process)
        self._request = self._request.replace(console=screen.theirs.fileno(), foreground=True)
        return self.carry_out()

    def ahead(self, kept: Kept) -> tuple[int, list[str]]:
        """With an executor that is at work while the configuration is looked at, if nobody has done so before."""
        spare = begin_ahead()
        try:
            host = kept.probe()
            draft = kept.recall(host)
            if draft is None:
                draft = self._drawn_up(host)
            container, pid = self._start(spare, draft)
        finally:
            spare.dismiss()
        kept.keep(draft, host, self._store.filters)
        return self._see_off(container, pid)

    def _drawn_up(self, host: Host) -> Draft:
        self._bundle.rootfs  # noqa: B018 - asked for, it is checked
        draft = Draft.make(self._request, self._bundle, host)
        draft.settle(self._store.filters)
        return draft

    def carry_out(self) -> tuple[int, list[str]]:
        """From the configuration to the exit code."""
        return self._see_off(*self._start())

    def _start(self, spare: Spare | None = None, draft: Draft | None = None) -> tuple[Container, int]:
        with Undo() as undo:
            if self._screen is not None:
                undo.push(self._screen.show_rest)
            container, child = build(
                self._store,
                self._request,
                self._bundle,
                undo,
                await_start=False,
                meanwhile=_load_what_follows,
                spare=spare,
                draft=draft,
            )
            if not self._detach and self._subreaper and not container.document.ownPidNamespace:
                from utsuwa.runtime.process import become_subreaper

                become_subreaper()
            if container.document.poststart:
                from utsuwa.runtime.start import poststart

                poststart(container)
        return container, child.pid

    def _see_off(self, container: Container, pid: int) -> tuple[int, list[str]]:
        container.unlock()
        if container.readiness is not None:
            from utsuwa.runtime.notify import attend as attend_readiness

            attend_readiness(container.readiness, pid, self._detach)
        if self._detach:
            return 0, container.warnings
        code = attend(pid, self._screen)
        return code, container.warnings + ([] if self._keep else remove(container))


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
