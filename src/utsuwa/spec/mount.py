"""A mount as snapshotters give it and plans take it: four strings' worth of mount(2), with nothing decided yet."""

from __future__ import annotations

from utsuwa.spec.record import Record


class Mount(Record):
    """One mount: ``type`` is a kernel file system ("overlay", "tmpfs") or "bind".

    ``target`` is beneath the root ("" is the root itself). ``options`` are ``key`` or ``key=value`` in the words of the
    file system (for an overlay: lowerdir, upperdir, workdir). See mount(8).
    """

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()

    def option(self, key: str) -> str | None:
        """The value of the last ``key=value`` among the options, "" for a bare ``key``, None when it is not there."""
        for option in reversed(self.options):
            name, _, value = option.partition("=")
            if name == key:
                return value
        return None
