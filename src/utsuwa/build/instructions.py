"""What the instructions of a Dockerfile are, each as a record of its own; variables in them are not expanded yet."""

from __future__ import annotations

from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.reader import Document, Source


class Instruction(Record):
    """``first`` and ``last`` are lines; ``text`` is how the history shows it, ``flags`` included."""

    keyword: str
    text: str
    first: int
    last: int


class From(Instruction):
    """The beginning of a stage, which others may call ``alias``."""

    image: str
    alias: str = ""
    platform: str = ""


class Arg(Instruction):
    """Variables of the build: name, and default or None."""

    pairs: tuple[tuple[str, str | None], ...]


class Pairs(Instruction):
    """ENV and LABEL."""

    pairs: tuple[tuple[str, str], ...]


class Command(Instruction):
    """RUN, CMD and ENTRYPOINT: words to execute, or with ``shell`` one text for the shell, and what belongs to it."""

    words: tuple[str, ...]
    shell: bool
    documents: tuple[Document, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


class Copy(Instruction):
    """COPY and ADD. ``documents`` are sources as well, by the name of their here-document."""

    sources: tuple[str, ...]
    target: str
    documents: tuple[Document, ...] = ()
    source_stage: str = ""
    owner: str = ""
    mode: str = ""
    parents: bool = False
    link: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None
    git_directory: bool = False


class Words(Instruction):
    """EXPOSE, VOLUME, USER, WORKDIR, STOPSIGNAL, MAINTAINER, SHELL."""

    words: tuple[str, ...]


class Trigger(Instruction):
    """ONBUILD: the instruction for whoever builds on this image, as text."""

    trigger: str


class Health(Instruction):
    """HEALTHCHECK; the times are nanoseconds."""

    test: tuple[str, ...]
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class Stage:
    """FROM and what follows it, up to the next one."""

    def __init__(self, number: int, base: From) -> None:
        self.number, self.base = number, base
        self.instructions: list[Instruction] = []

    @property
    def name(self) -> str:
        """What progress calls it."""
        return self.base.alias or f"stage-{self.number}"


class Dockerfile:
    """All of it: the ARGs before the first FROM, and the stages. ``source`` is what was read."""

    def __init__(self, source: Source) -> None:
        self.source, self.escape = source, source.escape
        self.globals: list[Arg] = []
        self.stages: list[Stage] = []
