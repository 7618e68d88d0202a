"""The sources of ADD that are elsewhere: files behind URLs, fetched at once, and git repositories, fetched when the
cache has not what became of them.
"""

from __future__ import annotations

from utsuwa.build import fetching, git
from utsuwa.build.members import Match, Origin
from utsuwa.build.patterns import Exclusions
from utsuwa.errors import InvalidArgument, Unavailable
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Copy
    from utsuwa.build.stage import StageBuild


class Remotes:
    """What of an instruction's sources is elsewhere: ``files`` (path, and time of change in Unix seconds), ``trees``;
    ``others`` are here.
    """

    def __init__(self, build: StageBuild, instruction: Copy) -> None:
        """Raises InvalidArgument for flags that only some sources can have, and what fetching raises."""
        self._build = build
        self.others = [build.expand(source) for source in instruction.sources]
        self.files: list[tuple[str, int]] = []
        self.trees: list[git.Repository] = []
        self._take(instruction, build.expand(instruction.checksum))

    def _take(self, instruction: Copy, checksum: str) -> None:
        sources, self.others = self.others, []
        parsed = [(source, git.parse(source)) for source in sources]
        elsewhere = [source for source, repository in parsed if repository or fetching.is_url(source)]
        if checksum and (len(sources) > 1 or not elsewhere):
            raise InvalidArgument("checksum can't be specified for multiple sources, nor for others than HTTP(S)")
        if instruction.git_directory and not any(repository for _, repository in parsed):
            raise InvalidArgument("--keep-git-dir: none of the sources is a git repository")
        folder = ""
        for source, repository in parsed:
            if repository:
                self._add_tree(repository, instruction.git_directory, checksum)
            elif fetching.is_url(source):
                folder = folder or self._build.kitchen.workshop.directory()
                name, changed = fetching.fetch(source, folder, checksum)
                self.files.append((f"{folder}/{name}", changed))
            else:
                self.others.append(source)

    def _add_tree(self, source: git.Source, keeps_git: bool, checksum: str) -> None:
        kitchen = self._build.kitchen
        secrets = {secret.id: secret.data for secret in kitchen.request.secrets}
        agent = kitchen.request.agents.get("default", "")
        found = git.Repository(source, git.access_of(secrets, agent, kitchen.workshop.lock), keeps_git)
        if checksum and found.commit != checksum:
            shown = git.without_secrets(source.url)
            raise Unavailable(f"fetch {shown}: expected checksum to match {checksum}, got {found.commit}")
        self.trees.append(found)

    def check_out(self, repository: git.Repository) -> tuple[Origin, Match]:
        """A repository's tree, and what of it is wanted; close its root."""
        directory = repository.check_out_part(self._build.kitchen.workshop.directory())
        left_out = Exclusions([] if repository.keeps_git else ["**/.git"])
        return Origin(Merged.of([directory]), left_out, keeps_owners=False), Match((), ())
