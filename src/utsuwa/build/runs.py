"""RUN in a stage: the cache asked, the container run, what it changed made a layer."""

from __future__ import annotations

import os

from utsuwa.build import commands, copying, members, mounts, origins, patterns, places
from utsuwa.build.fault import StepFailed
from utsuwa.build.request import proxies
from utsuwa.build.stubs import Stubs
from utsuwa.errors import NotFound
from utsuwa.snapshot import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.commands import Prepared
    from utsuwa.build.instructions import Command
    from utsuwa.build.mounts import RunMount
    from utsuwa.build.progress import Step
    from utsuwa.build.stage import StageBuild
    from utsuwa.image.make import NewLayer
    from utsuwa.spec.mount import Mount


class Run:
    """One RUN. ``text`` is what the history says."""

    def __init__(self, build: StageBuild, command: Command) -> None:
        self._build, self._command = build, command
        self._words, self._script = commands.words_of(command, build.state)
        self._mounts = [mounts.parse(text, build.expand, build.state.absolute) for text in command.mounts]
        arguments = [f"{name}={value}" for name, value in build.state.arguments.items()]
        counted = f"|{len(arguments)} {' '.join(arguments)} " if arguments else ""
        self.text = f"RUN {counted}{' '.join(self._words)}"

    def layer(self, step: Step) -> tuple[NewLayer, int]:
        """The layer, from the cache or new, and when it was made. Raises StepFailed when the command fails."""
        kitchen, state = self._build.kitchen, self._build.state
        key = self._key()
        layer = self._build.cached(key)
        if layer is not None:
            step.cached()
            return layer
        snapshot = kitchen.workshop.name_next()
        snapshots = kitchen.store.snapshotter
        snapshots.prepare(snapshot, state.top)
        try:
            code = self._execute(snapshot, step)
            if code:
                shown = " ".join(self._words)
                raise StepFailed(
                    f'process "{shown}" did not complete successfully: exit code: {code}',
                    self._command.first,
                    self._command.last,
                    code,
                )
            archive = diff.archive(snapshots, snapshot, kitchen.request.epoch)
            layer = kitchen.make(key, state.top, archive, self.text)
        finally:
            snapshots.remove(snapshot)
        step.done()
        return layer

    def _key(self) -> str:
        """All that the result depends on; of proxies, secrets and caches no more than that they are there."""
        kitchen, state, command = self._build.kitchen, self._build.state, self._command
        ignored = proxies(kitchen.request.arguments)
        known = commands.variables(state, kitchen.request)
        known = {name: value for name, value in known.items() if name not in ignored or name in state.env}
        bound = [self._bound(mount) for mount in self._mounts]
        network = kitchen.request.network if command.network == "default" else command.network
        about = (state.workdir, state.settings.User, network, command.security, kitchen.request.hosts)
        return kitchen.key(state.top, "RUN", self._words, self._script, sorted(known.items()), about, bound)

    def _bound(self, mount: RunMount) -> tuple[object, ...]:
        """What a cache knows of a mount."""
        content = ""
        if mount.type == "bind":
            origin = origins.open_origin(self._build.kitchen, mount.origin, self._build.stage)
            with origin.root:
                match = self._match(origin, mount)
                content = copying.digest_of(
                    members.walk(origin, match, (), patterns.Exclusions([])), self._build.wish(None, "", to_root=False)
                )
        return (*sorted(mount.__dict__.items()), content)

    @staticmethod
    def _match(origin: members.Origin, mount: RunMount) -> members.Match:
        with places.find(origin.root, places.split(mount.source)) as found:
            if found.state is None or origin.hides(found.path):
                raise NotFound(f'"/{mount.source.strip("/")}": not found')
            return members.Match(found.path, ())

    # -- the container ---------------------------------------------------------------------------------------------

    def _execute(self, name: str, step: Step) -> int:
        from utsuwa.build import emulation, networking
        from utsuwa.build.running import Container, execute, prepare

        kitchen, state = self._build.kitchen, self._build.state
        emulation.check(state.platform(kitchen.request))
        prepare()
        directory = f"{kitchen.workshop.path}/{name}"
        os.makedirs(f"{directory}/rootfs", 0o755)
        prepared = commands.Prepared(self._words)
        try:
            self._prepare(prepared, directory)
            network = networking.network_of(self._command, kitchen.request, kitchen.paths)
            connection = networking.Connection(kitchen.paths, kitchen.workshop.path, name, network)
            spec = commands.configuration(prepared, self._command, state, kitchen.request, connection, directory)
            targets = [mount.destination for mount in prepared.binds] + [each.target for each in prepared.tmpfs]
            with self._build.ground() as root:
                stubs = Stubs(root, targets)
            container = Container(directory, spec, self._root(name), state.settings.User or "", connection)
            code = execute(container, kitchen, step.output)
        finally:
            prepared.close()
        if targets:
            stubs.clear(kitchen.store.snapshotter.upper(name))
        return code

    def _root(self, name: str) -> tuple[Mount, ...]:
        """The root's mounts; nothing of it need be on the disk before the layer is."""
        found = self._build.kitchen.images.snapshotter.mounts(name)
        return tuple(
            mount.replace(options=(*(mount.options or ()), "volatile")) if mount.type == "overlay" else mount
            for mount in found
        )

    def _prepare(self, prepared: Prepared, directory: str) -> None:
        kitchen = self._build.kitchen
        if self._script:
            commands.add_script(prepared, self._script, directory)
        for mount in self._mounts:
            if mount.type == "tmpfs":
                commands.add_tmpfs(prepared, mount)
            elif mount.type == "secret":
                secrets = f"{kitchen.paths.run}/secrets/{kitchen.workshop.name}"
                commands.add_secret(prepared, mount, kitchen.request, secrets)
            elif mount.type == "ssh":
                commands.add_agent(prepared, mount, kitchen.request, directory)
            elif mount.type == "cache":
                fresh = commands.add_cache(prepared, mount, kitchen.paths.root)
                if fresh and mount.origin:
                    self._fill(mount, fresh)
            else:
                self._bind(prepared, mount, directory)

    def _bind(self, prepared: Prepared, mount: RunMount, directory: str) -> None:
        """A bind of the context without what .dockerignore hides is a copy; other trees are bound as they are."""
        numbers = iter(range(1 << 20))

        def scratch() -> str:
            path = f"{directory}/bind-{len(prepared.binds)}-{next(numbers)}"
            os.mkdir(path, 0o755)
            return path

        origin = origins.open_origin(self._build.kitchen, mount.origin, self._build.stage)
        with origin.root:
            if origin.ignored:
                copy = scratch()
                self._fill(mount, copy)
                commands.add_bind(prepared, mount, [copy], scratch)
                return
            with places.find(origin.root, self._match(origin, mount).path) as found:
                if found.is_directory():
                    with found.enter() as inside:
                        directories = [os.readlink(f"/proc/self/fd/{fd}") for fd in inside.directories]
                else:
                    holder = os.readlink(f"/proc/self/fd/{found.directory}")
                    directories = [f"{holder}/{os.fsdecode(found.name)}"]
        commands.add_bind(prepared, mount, directories, scratch)

    def _fill(self, mount: RunMount, directory: str) -> None:
        """Put a copy of the mount's source into an empty directory."""
        from utsuwa.build.filling import fill

        kitchen = self._build.kitchen
        origin = origins.open_origin(kitchen, mount.origin, self._build.stage)
        with origin.root:
            match = self._match(origin, mount)
            fill(directory, members.walk(origin, match, (), patterns.Exclusions([])))
