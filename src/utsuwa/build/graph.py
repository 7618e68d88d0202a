"""Which stages a build needs, and what each of them needs: read off the Dockerfile before anything is made."""

from __future__ import annotations

from utsuwa.build.fault import Fault, StepFailed
from utsuwa.build.instructions import Arg, Command, Copy
from utsuwa.build.request import normal, proxies
from utsuwa.build.words import Words, WrongWords
from utsuwa.spec import platform as platforms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Dockerfile, Instruction, Stage
    from utsuwa.build.request import BuildRequest

SCRATCH = "scratch"


class Graph:
    """The stages of a Dockerfile with their bases spelled out. ``globals`` are the ARGs before the first FROM."""

    def __init__(self, dockerfile: Dockerfile, request: BuildRequest) -> None:
        self.dockerfile = dockerfile
        self._words = Words(dockerfile.escape)
        self._given, self._contexts = request.arguments, request.contexts
        self.built_in = platform_arguments(request)
        self.globals: dict[str, str] = {}
        for instruction in dockerfile.globals:
            self._declare(instruction)
        self.bases = [self._base(stage) for stage in dockerfile.stages]

    def _declare(self, instruction: Arg) -> None:
        for name, default in instruction.pairs:
            if name in self._given:
                self.globals[name] = self._given[name]
            elif default is not None:
                self.globals[name] = self._expand(default, instruction)
            elif name in self.built_in:
                self.globals[name] = self.built_in[name]

    def _expand(self, text: str, instruction: Instruction) -> str:
        try:
            return self._words.expand(text, {**self.built_in, **self.globals})
        except WrongWords as error:
            raise Fault(str(error), instruction.first, instruction.last) from None

    def _base(self, stage: Stage) -> tuple[str, str]:
        """Image or stage, and platform, of a FROM."""
        base = stage.base
        image = self._expand(base.image, base)
        if not image:
            raise Fault(f"base name ({base.image}) should not be blank", base.first, base.last)
        return image, self._expand(base.platform, base)

    def find(self, name: str, before: int) -> Stage | None:
        """The stage of a name or number among the first ``before``; the last of those that share a name. None for a
        name that --build-context has taken.
        """
        if normal(name) in self._contexts:
            return None
        for stage in reversed(self.dockerfile.stages[:before]):
            if stage.base.alias and stage.base.alias == name.lower():
                return stage
        if name.isascii() and name.isdigit() and int(name) < before:
            return self.dockerfile.stages[int(name)]
        return None

    def base_stage(self, stage: Stage) -> Stage | None:
        """The stage that another builds on; None when it is an image. Numbers name no base."""
        name = self.bases[stage.number][0]
        return None if name.isdigit() else self.find(name, stage.number)

    def target(self, name: str) -> Stage:
        """The stage that is to be built. Raises StepFailed."""
        stages = self.dockerfile.stages
        if not name:
            return stages[-1]
        found = self.find(name, len(stages))
        if found is None:
            raise StepFailed(f'target stage "{name}" could not be found')
        return found

    def needs(self, stage: Stage) -> list[Stage]:
        """The stages that one needs directly."""
        base = self.base_stage(stage)
        found = [base] if base else []
        for instruction in stage.instructions:
            for name in sources(instruction):
                other = self.find(name, stage.number)
                if other is not None:
                    found.append(other)
                elif name.lower() == stage.base.alias or self.find(name, len(self.dockerfile.stages)):
                    raise Fault(f"circular dependency detected on stage: {name}", instruction.first, instruction.last)
        return list(dict.fromkeys(found))

    def order(self, target: Stage) -> list[Stage]:
        """The stages that are needed, each after those that it needs."""
        found: list[Stage] = []

        def visit(stage: Stage) -> None:
            if stage not in found:
                for each in self.needs(stage):
                    visit(each)
                found.append(stage)

        visit(target)
        return found


def sources(instruction: Instruction) -> list[str]:
    """The stages or images that an instruction names."""
    if isinstance(instruction, Copy):
        return [instruction.source_stage] if instruction.source_stage else []
    if isinstance(instruction, Command):
        parts = [part for mount in instruction.mounts for part in mount.split(",")]
        return [part[5:] for part in parts if part.startswith("from=") and part[5:]]
    return []


def platform_arguments(request: BuildRequest) -> dict[str, str]:
    """TARGETPLATFORM, BUILDARCH and their like."""
    found: dict[str, str] = {}
    for prefix, platform in (("TARGET", request.platform or platforms.host()), ("BUILD", platforms.host())):
        short = platform.replace(variant="") if platform.architecture == "amd64" else platform
        found |= {
            f"{prefix}PLATFORM": str(short),
            f"{prefix}OS": short.os,
            f"{prefix}ARCH": short.architecture,
            f"{prefix}VARIANT": short.variant,
        }
    return {**found, "TARGETSTAGE": request.target or "default", **proxies(request.arguments)}
