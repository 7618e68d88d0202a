"""The engine of this process, with its directories taken from the environment, and what all verbs print alike."""

from __future__ import annotations

import os
import sys

from utsuwa.cli import output
from utsuwa.cli.flags import Arguments, BadUsage, Option, describe, operands, parse
from utsuwa.engine.enclosure import enclose
from utsuwa.engine.images import Images
from utsuwa.engine.paths import ROOT, RUN, Paths
from utsuwa.errors import Error, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.engine.containers import Containers
    from utsuwa.engine.volumes import Volumes


class House:
    """Paths and services."""

    _usual = (ROOT, RUN)

    def __init__(self) -> None:
        usual = House._usual
        if os.geteuid() != 0:
            from utsuwa.engine import user_namespace

            usual = user_namespace.directories()
        root = os.path.abspath(os.environ.get("UTSUWA_ROOT") or usual[0])
        run = os.path.abspath(os.environ.get("UTSUWA_RUN") or usual[1])
        if os.geteuid() != 0:
            user_namespace.enter(run)
            House._usual = usual  # from here on we are root
        enclose(root)
        self.paths = Paths(root, run)
        self.images = Images(self.paths)
        self._containers: Containers | None = None

    @property
    def containers(self) -> Containers:
        """The containers; verbs about images alone do not pay for importing what they need."""
        if self._containers is None:
            from utsuwa.engine.containers import Containers

            self._containers = Containers(self.paths, self.images)
        return self._containers

    @property
    def volumes(self) -> Volumes:
        """The volumes."""
        return self.containers.volumes


_AT_ONCE = 50
"""As many containers are stopped side by side."""


class Verb:
    """A verb's command line: ``ps [OPTIONS]``, what it is for, its options, and how many words it takes."""

    def __init__(
        self, usage: str, purpose: str, options: Sequence[Option] = (), least: int = 0, most: int | None = None
    ) -> None:
        self.usage, self.purpose, self.options = usage, purpose, tuple(options)
        self._least, self._most = least, most

    def read(self, words: list[str], interspersed: bool = True) -> Arguments | None:
        """The arguments, None when help was asked for (and printed). Raises BadUsage."""
        table = (*self.options, Option("help", "", "", "Print usage"))
        arguments = parse(table, words, interspersed)
        if arguments.on("help"):
            print(describe(self.usage, self.purpose, self.options))
            return None
        self._count(len(arguments.words))
        return arguments

    def _count(self, count: int) -> None:
        if count >= self._least and (self._most is None or count <= self._most):
            return
        called = self.usage.removesuffix(operands(self.usage)).rstrip()
        if self._most is None:
            bound = f"at least {self._least}"
        elif self._most == self._least:
            bound = str(self._most)
        elif self._least:
            bound = f"at least {self._least} and at most {self._most}"
        else:
            bound = f"at most {self._most}"
        number = self._least if self._most is None else self._most
        wants = f"requires {bound} argument{'' if number == 1 else 's'}" if number else "accepts no arguments"
        raise MissingWords(called, wants)


class MissingWords(BadUsage):
    """Too few words, or too many: what was ``called`` ``wants`` another number. Unlike with other usage errors Docker
    ends with 1.
    """

    exit_code = 1

    def __init__(self, called: str, wants: str) -> None:
        super().__init__(f"'utsuwa {called}' {wants}")
        self._wants = wants

    def under(self, called: str) -> None:
        """It was called by another name."""
        self.args = (f"'utsuwa {called}' {self._wants}",)


def each(names: Sequence[str], act: Callable[[str], str | None]) -> int:
    """Do something to every name, print what it gives, complain about those where it fails; the exit code."""
    code = 0
    for name in names:
        try:
            shown = act(name)
        except Error as error:
            output.flush()
            print(f"utsuwa: {printable(str(error))}", file=sys.stderr)
            code = 1
        else:
            if shown is not None:
                print(shown)
    return code


def each_at_once(names: Sequence[str], act: Callable[[str], str | None]) -> int:
    """As ``each``, for what takes its time: all names at once, told of in their order as soon as those before are."""
    if len(names) < 2:
        return each(names, act)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(names), _AT_ONCE)) as pool:
        under_way = {place: pool.submit(act, name) for place, name in enumerate(names)}
        places = iter(under_way.values())
        return each(names, lambda _name: next(places).result())
