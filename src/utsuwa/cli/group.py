"""A noun with verbs of its own: ``utsuwa container ls``. They are modules of this package, as those of main are."""

from __future__ import annotations

import sys

from utsuwa.cli.flags import BadUsage, operands
from utsuwa.cli.house import MissingWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Group:
    """``verbs``: what is typed -> the module, and words that go before those of the user (``inspect --type=image``);
    several of one module are other names of the first. ``purposes`` are told instead of the modules' own.
    """

    def __init__(
        self,
        name: str,
        purpose: str,
        verbs: Mapping[str, str | tuple[str, ...]],
        purposes: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.purpose, self._purposes = name, purpose, purposes or {}
        self.usage = f"{name} COMMAND"
        self.verbs = {verb: (place,) if isinstance(place, str) else place for verb, place in verbs.items()}

    def run(self, words: list[str]) -> int:
        """The exit code of the verb that the words begin with."""
        if not words:
            print(self.describe(), file=sys.stderr)
            return 0
        verb, *rest = words
        if verb in ("-h", "--help"):
            print(self.describe())
            return 0
        if verb not in self.verbs:
            error = BadUsage(f"unknown command: utsuwa {self.name} {verb}")
            error.exit_code = 1
            raise error
        place, *fixed = self.verbs[verb]
        module = load(place)
        try:
            code: int = module.run([*fixed, *rest])
        except BadUsage as error:
            if isinstance(error, MissingWords):
                error.under(f"{self.name} {verb}")
            if not hasattr(error, "usage"):
                error.usage = f"{self.name} {verb} {operands(module.VERB.usage)}"  # type: ignore[attr-defined]
            raise
        return code

    def describe(self) -> str:
        """The text of ``--help``."""
        first = {place: verb for verb, place in reversed(self.verbs.items())}
        told = {verb: self._purposes.get(verb) or load(place[0]).VERB.purpose for place, verb in first.items()}
        width = max(map(len, told)) + 3
        rows = [f"  {verb:{width}}{told[verb]}" for verb in sorted(told)]
        ending = f"Run 'utsuwa {self.name} COMMAND --help' for more information on a command."
        return "\n".join([f"Usage:  utsuwa {self.usage}", "", self.purpose, "", "Commands:", *rows, "", ending])


def load(verb: str):  # type: ignore[no-untyped-def]  # ModuleType hides what every verb's module has
    """The module of a verb; only what is asked for is imported."""
    return __import__(f"utsuwa.cli.{verb}", fromlist=("run",))
