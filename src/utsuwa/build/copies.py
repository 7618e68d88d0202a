"""COPY and ADD: sources found, their content known to the cache, the layer made."""

from __future__ import annotations

import os
import stat
from itertools import chain

from utsuwa.build import archives, copying, members, origins, patterns, places
from utsuwa.build.owners import owner
from utsuwa.build.words import Words as Lexer
from utsuwa.errors import InvalidArgument
from utsuwa.snapshot import tree
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.build.git import Repository
    from utsuwa.build.instructions import Copy
    from utsuwa.build.members import Match, Member, Origin
    from utsuwa.build.places import Path
    from utsuwa.build.progress import Step
    from utsuwa.build.remotes import Remotes
    from utsuwa.build.stage import StageBuild
    from utsuwa.image.make import NewLayer


class Copying:
    """One COPY or ADD in a stage."""

    def __init__(self, build: StageBuild, instruction: Copy) -> None:
        self._build, self._instruction = build, instruction
        self._remotes: Remotes | None = None
        self._sources = [build.expand(source) for source in instruction.sources]
        if instruction.keyword == "ADD":
            from utsuwa.build.remotes import Remotes

            self._remotes = Remotes(build, instruction)
            self._sources = self._remotes.others
        self._target = build.state.absolute(build.expand(instruction.target))
        self._excluded = patterns.Exclusions([build.expand(text) for text in instruction.excludes])
        if len(instruction.sources) + len(instruction.documents) > 1 and not self._target.endswith("/"):
            raise InvalidArgument(
                f"When using {instruction.keyword} with more than one source file, the destination must be a directory "
                "and end with a /"
            )

    @property
    def _trees(self) -> list[Repository]:
        return self._remotes.trees if self._remotes else []

    def layer(self, step: Step) -> tuple[NewLayer, int]:
        """The layer, from the cache or new, and when it was made."""
        build, instruction, kitchen = self._build, self._instruction, self._build.kitchen
        below = "" if instruction.link else build.state.top
        origin = origins.open_origin(kitchen, instruction.source_stage, build.stage)
        with origin.root, build.ground() as root:
            chosen = owner(build.expand(instruction.owner), root) if instruction.owner else None
            mode = build.expand(instruction.mode)
            wish = build.wish(chosen, mode, to_root=not origin.keeps_owners)
            matches = [(source, members.matching(origin, source)) for source in self._sources]
            # With --link it does not matter what is below: no link there is followed, and any base will do.
            ground = copying.Ground(Merged([]) if instruction.link else root)
            known = copying.digest_of(self._members(origin, matches, ground), wish)
            trees = [(each.identity, chosen, mode, instruction.excludes) for each in self._trees]
            key = kitchen.key(below, instruction.keyword, self._target, known, trees)
            layer = build.cached(key)
            if layer is not None:
                ground.close()
                step.cached()
                return kitchen.stacked(*layer, build.state.top)
            taken = chain(self._members(origin, matches, ground), self._checked_out(ground))
            archive = copying.archived(taken, wish, ground)
            layer = kitchen.make(key, build.state.top, archive, instruction.text)
        step.done()
        return layer

    def _members(
        self, origin: Origin, matches: list[tuple[str, list[Match]]], ground: copying.Ground
    ) -> Iterator[Member]:
        """All that is copied, where it is to be."""
        resolved, there = ground.resolve(places.split(self._target))
        into = self._target.endswith("/") or (there is not None and stat.S_ISDIR(there.st_mode))
        for _, found in matches:
            for match in found:
                yield from self._one(origin, match, resolved, into, there is not None)
        for path, changed in self._remotes.files if self._remotes else ():
            yield from self._download(path, changed, resolved, into)
        yield from self._documents(resolved, into)

    def _one(self, origin: Origin, match: Match, resolved: Path, into: bool, exists: bool) -> Iterator[Member]:
        with places.find(origin.root, match.path, follow=False) as found:
            is_link = found.state is not None and stat.S_ISLNK(found.state.st_mode)
        if is_link:  # of what a pattern matches, links are followed as well
            with places.find(origin.root, match.path) as found:
                if found.state is not None:
                    match = members.Match(found.path, match.kept)
                is_directory = found.is_directory()
        else:
            is_directory = found.is_directory()
        parents = self._instruction.parents
        target = resolved
        if parents:
            target = (*resolved, *match.kept)
        elif not is_directory and into:
            target = (*resolved, match.kept[-1])
        walked = members.walk(origin, match, target, self._excluded)
        if not is_directory and self._instruction.keyword == "ADD" and self._instruction.unpack is not False:
            walked = self._perhaps_archive(walked, resolved)
        if is_directory and not parents and (exists or self._target.endswith("/")):
            first = next(walked)
            if not exists:
                yield members.Member(first.path, self._build.wish(None, "", to_root=True).directory)
        if parents:
            yield from self._parents(origin, match, resolved)
        yield from walked

    @staticmethod
    def _perhaps_archive(walked: Iterator[Member], resolved: Path) -> Iterator[Member]:
        """The one file of a source, which may be an archive to unpack."""
        for member in walked:
            if stat.S_ISREG(member.state.st_mode) and archives.is_archive(member.directory, member.name):
                member.archive, member.path = True, resolved
            yield member

    def _checked_out(self, ground: copying.Ground) -> Iterator[Member]:
        """The trees of git repositories, fetched only now: the cache knows them by their commits."""
        resolved, there = ground.resolve(places.split(self._target))
        for repository in self._trees:
            assert self._remotes is not None  # who else has some
            origin, match = self._remotes.check_out(repository)
            with origin.root:
                yield from self._one(origin, match, resolved, into=True, exists=there is not None)

    def _download(self, path: str, changed: int, resolved: Path, into: bool) -> Iterator[Member]:
        """A file that came from a URL: not unpacked unless that is asked for."""
        folder, _, name = path.rpartition("/")
        mtime = changed * 1_000_000_000 if changed else self._build.kitchen.moment
        target = (*resolved, name.encode()) if into else resolved
        fd = os.open(folder, tree.DIRECTORY_FLAGS)
        try:
            size = os.stat(path).st_size
            state = members.plain_state(stat.S_IFREG | 0o600, size=size, mtime=mtime)
            walked = iter([members.Member(target, state, fd, name.encode())])
            yield from self._perhaps_archive(walked, resolved) if self._instruction.unpack else walked
        finally:
            os.close(fd)

    def _parents(self, origin: Origin, match: Match, resolved: Path) -> Iterator[Member]:
        """The directories above a source that ``--parents`` keeps, as they are where they come from."""
        above = match.path[: len(match.path) - len(match.kept)]
        for length in range(1, len(match.kept)):
            with places.find(origin.root, (*above, *match.kept[:length])) as found:
                if found.state is not None:
                    yield members.Member((*resolved, *match.kept[:length]), found.state, found.directory, found.name)

    def _documents(self, resolved: Path, into: bool) -> Iterator[Member]:
        """Here-documents are files of their own."""
        build = self._build
        for document in self._instruction.documents:
            content = document.content
            if document.expand:
                escape = build.kitchen.graph.dockerfile.escape
                content = Lexer(escape, quotes=False).expand(content, build.state.variables)
            data = content.encode("utf-8", "surrogateescape")
            target = (*resolved, document.name.encode()) if into else resolved
            state = members.plain_state(stat.S_IFREG | 0o644, size=len(data), mtime=build.kitchen.moment)
            yield members.Member(target, state, data=data)
