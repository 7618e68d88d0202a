"""One stage built: from its base, instruction by instruction, each a change of settings, or a layer from cache or
made.
"""

from __future__ import annotations

import stat
import time

from utsuwa.build import copying, members, origins, places, state
from utsuwa.build.fault import Fault, StepFailed
from utsuwa.build.instructions import Arg, Command, Copy, Instruction, Words
from utsuwa.build.parser import parse_trigger
from utsuwa.build.request import normal
from utsuwa.build.words import Words as Lexer
from utsuwa.build.words import WrongWords
from utsuwa.errors import Error, InvalidArgument
from utsuwa.snapshot.merged import Merged
from utsuwa.spec import platform as platforms
from utsuwa.spec.image import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Stage
    from utsuwa.build.kitchen import Kitchen
    from utsuwa.build.progress import Step
    from utsuwa.build.state import State
    from utsuwa.image.make import NewLayer

_STEPS = ("RUN", "COPY", "ADD", "WORKDIR")
"""Instructions that are shown by themselves, since they take time."""


def stamp(seconds: int) -> str:
    """A time as images write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class StageBuild:
    """A stage on its way."""

    def __init__(self, kitchen: Kitchen, stage: Stage) -> None:
        self.kitchen, self.stage = kitchen, stage
        self._lexer = Lexer(kitchen.graph.dockerfile.escape)
        self._shown = 0

    def build(self) -> State:
        """All of it. Raises Fault and StepFailed, with the lines."""
        instructions = self.stage.instructions
        self._steps = 1 + sum(each.keyword in _STEPS for each in instructions)
        self.state, triggers = self._begin()
        escape = self.kitchen.graph.dockerfile.escape
        inherited = [parse_trigger(text, escape) for text in triggers]
        self._steps += sum(each.keyword in _STEPS for each in inherited)
        for instruction in (*inherited, *instructions):
            self._carry_out(instruction)
        return self.state

    # -- the base --------------------------------------------------------------------------------------------------

    def _begin(self) -> tuple[State, tuple[str, ...]]:
        """The state to start with, and the ONBUILD instructions of the base."""
        base = self.stage.base
        before = self.kitchen.graph.base_stage(self.stage)
        if before is not None:
            begun = self.kitchen.built[before.number].copy()
            return self._without_triggers(begun)
        name, platform = self.kitchen.graph.bases[self.stage.number]
        context = self.kitchen.request.contexts.get(normal(name))
        if context is not None and context.directory:  # its files, and nothing else
            return state.State(None, self.kitchen.epoch), (f"COPY --from={name} . /",)
        if name == "scratch":
            return state.State(None, self.kitchen.epoch), ()
        step = self.kitchen.progress.begin(f"{self._prefix()}{base.text}")
        try:
            asked = platforms.parse(platform) if platform else self.kitchen.request.platform
            image = self.kitchen.image(name, asked)
        except Error as error:
            step.failed(str(error))
            raise StepFailed(str(error), base.first, base.last) from error
        step.done()
        return self._without_triggers(state.State(image, self.kitchen.epoch))

    @staticmethod
    def _without_triggers(begun: State) -> tuple[State, tuple[str, ...]]:
        triggers = begun.settings.OnBuild or ()
        begun.settings = begun.settings.replace(OnBuild=None)
        return begun, triggers

    def _prefix(self) -> str:
        self._shown += 1
        several = len(self.kitchen.graph.dockerfile.stages) > 1
        return f"[{self.stage.name + ' ' if several else ''}{self._shown}/{self._steps}] "

    # -- instructions ----------------------------------------------------------------------------------------------

    def _carry_out(self, instruction: Instruction) -> None:
        self.kitchen.lifelines.check()
        try:
            if isinstance(instruction, Arg):
                self._declare(instruction)
            elif isinstance(instruction, Copy):
                self._layer(instruction, self._copy)
            elif isinstance(instruction, Command) and instruction.keyword == "RUN":
                self._layer(instruction, self._run)
            elif instruction.keyword == "WORKDIR" and isinstance(instruction, Words):
                self._layer(instruction, self._workdir)
            else:
                state.apply(self.state, instruction, self.expand)
                self._note(instruction.text, empty=True)
        except (Fault, StepFailed):
            raise
        except WrongWords as error:
            raise Fault(str(error), instruction.first, instruction.last) from error
        except Error as error:
            raise StepFailed(str(error), instruction.first, instruction.last) from error

    def cached(self, key: str) -> tuple[NewLayer, int] | None:
        """The layer that an earlier build has made, unless this stage is to be built anew."""
        names = self.kitchen.request.uncached
        if names and (self.stage.base.alias in names or str(self.stage.number) in names):
            return None
        return self.kitchen.cached(key, self.state.top)

    def expand(self, text: str) -> str:
        """Variables and quotes in one word."""
        return self._lexer.expand(text, self.state.variables)

    def _declare(self, instruction: Arg) -> None:
        """ARG: what the build was given, or the default, or what a global ARG of that name has."""
        graph, given = self.kitchen.graph, self.kitchen.request.arguments
        for name, default in instruction.pairs:
            value = given.get(name)
            if value is None and default is not None:
                value = self.expand(default)
            if value is None:
                value = graph.globals.get(name, graph.built_in.get(name))
            if value is not None:
                self.state.arguments[name] = value
        self._note(instruction.text, empty=True)

    def _note(self, text: str, *, empty: bool) -> None:
        """A line of the history. What makes no layer is as old as the last that did: built again, it is the same."""
        entry = History(
            created=stamp(self.state.made), created_by=text, comment="utsuwa", empty_layer=True if empty else None
        )
        self.state.history.append(entry)

    def _layer(self, instruction: Instruction, act: object) -> None:
        step = self.kitchen.progress.begin(f"{self._prefix()}{' '.join(instruction.text.split())}")
        try:
            act(instruction, step)  # type: ignore[operator]
        except Error as error:
            step.failed(str(error))
            if isinstance(error, StepFailed) and step.tail:
                error.output = "\n".join([f" > {step.title}:", *step.tail[-20:]])  # type: ignore[attr-defined]
            raise

    def _add(self, found: tuple[NewLayer, int], text: str) -> None:
        layer, self.state.made = found
        self.state.layers.append(layer)
        self.state.top = layer.name
        self._note(text, empty=False)

    def ground(self) -> Merged:
        """The tree of what is there so far; the caller closes it."""
        return Merged.of(origins.trees(self.kitchen, self.state.top))

    # -- WORKDIR ---------------------------------------------------------------------------------------------------

    def _workdir(self, instruction: Words, step: Step) -> None:
        path = self.state.absolute(self.expand(instruction.words[0])).rstrip("/") or "/"
        self.state.settings = self.state.settings.replace(WorkingDir=path)
        with self.ground() as root:
            ground = copying.Ground(root)
            target, there = ground.resolve(places.split(path))
            if there is not None:
                ground.close()
                if not stat.S_ISDIR(there.st_mode):
                    raise InvalidArgument(f"{path}: is not a directory")
                step.cached()
                self._note(instruction.text, empty=True)
                return
            owner = self._user(root)
            key = self.kitchen.key(self.state.top, "WORKDIR", path, owner)
            found = self.cached(key)
            if found is not None:
                ground.close()
                step.cached()
            else:
                wish = self.wish(owner, "", to_root=True)
                made = [members.Member(target, wish.directory)]
                found = self.kitchen.make(key, self.state.top, copying.archived(made, wish, ground), instruction.text)
                step.done()
        self._add(found, instruction.text)

    def _user(self, root: Merged) -> tuple[int, int] | None:
        """The owner of directories that WORKDIR makes: USER."""
        from utsuwa.build.owners import owner

        return owner(self.state.settings.User, root) if self.state.settings.User else None

    def wish(self, owner: tuple[int, int] | None, mode: str, *, to_root: bool) -> copying.Wish:
        """Owner, mode and time for what a layer takes along."""
        from utsuwa.build.owners import mode as parse_mode

        return copying.Wish(
            owner, parse_mode(mode) if mode else None, to_root, self.kitchen.moment, self.kitchen.request.epoch
        )

    # -- COPY, ADD -------------------------------------------------------------------------------------------------

    def _copy(self, instruction: Copy, step: Step) -> None:
        from utsuwa.build.copies import Copying

        self._add(Copying(self, instruction).layer(step), instruction.text)

    # -- RUN -------------------------------------------------------------------------------------------------------

    def _run(self, instruction: Command, step: Step) -> None:
        from utsuwa.build.runs import Run

        run = Run(self, instruction)
        self._add(run.layer(step), run.text)
