"""Stages that do not need one another, built at once: a thread each, as many as there are processors, and two at least,
since some wait for a network.
"""

from __future__ import annotations

import os
import threading

from utsuwa.build.stage import StageBuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Stage
    from utsuwa.build.kitchen import Kitchen


def build_stages(kitchen: Kitchen, order: list[Stage]) -> None:
    """Build the stages, each after those that it needs. Raises what the first that failed raised; others then stop."""
    needs = {stage.number: {each.number for each in kitchen.graph.needs(stage)} for stage in order}
    if all(set(needs[stage.number]) >= {order[place].number} for place, stage in enumerate(order[1:])):
        for stage in order:  # one after the other in any case
            kitchen.built[stage.number] = StageBuild(kitchen, stage).build()
        return
    _Crew(kitchen, order, needs).work()


class _Crew:
    def __init__(self, kitchen: Kitchen, order: list[Stage], needs: dict[int, set[int]]) -> None:
        self._kitchen, self._needs = kitchen, needs
        self._waiting = list(order)
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def work(self) -> None:
        """Wait for the threads; an interrupt of ours stops them before their next instruction."""
        count = min(len(self._waiting), max(2, os.cpu_count() or 1))
        threads = [threading.Thread(target=self._run, name=f"utsuwa-stage-{place}") for place in range(count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as interrupt:
            self._fail(interrupt)
            self._kitchen.lifelines.stop()
            for thread in threads:
                thread.join()
            raise
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (stage := self._next()) is not None:
            try:
                built = StageBuild(self._kitchen, stage).build()
            except BaseException as failure:  # told to whoever waits for all of us
                self._fail(failure)
                self._kitchen.lifelines.stop()
                return
            with self._changed:
                self._kitchen.built[stage.number] = built
                self._changed.notify_all()

    def _next(self) -> Stage | None:
        """A stage whose needs are met, after waiting for it; None when there is no more to do."""
        with self._changed:
            while self._waiting and self._failure is None:
                for stage in self._waiting:
                    if self._needs[stage.number] <= self._kitchen.built.keys():
                        self._waiting.remove(stage)
                        return stage
                self._changed.wait()
        return None

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()
