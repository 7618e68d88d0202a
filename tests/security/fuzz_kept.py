"""Plans kept by shape, held to the plans that would be made: names of all kinds, in all places of a configuration."""

from __future__ import annotations

import random
import re
from marshal import loads

from tests.golden.hosts import HYBRID, V1, V2
from tests.security.mutation import mutate
from utsuwa.linux.host import Host
from utsuwa.runtime.bundle import Bundle
from utsuwa.runtime.draft import CreateRequest, Draft
from utsuwa.runtime.kept import Kept
from utsuwa.runtime.record import encoded
from utsuwa.spec.mount import Mount
from utsuwa.spec.runtime import Spec

_WORDS = ("proc", "0000", "memory", "cgroup", "rootfs", "nosuid", "terminal", "relatime", "relative", "net")
_PLACES = re.compile('/|: "')


class _Shelf(Kept):
    """Places in a dictionary."""

    shelf: dict[str, bytes]

    def _read(self) -> bytes | None:
        return self.shelf.get(self._name)

    def _write(self, body: bytes) -> None:
        self.shelf[self._name] = body


class _Bundle(Bundle):
    """A bundle whose root file system is where it should be."""

    def find_root(self, given: str) -> str:
        self._rootfs = self.path + "/root"
        return self._rootfs


def kept(configs: list[str], dice: random.Random) -> bool:
    """Four containers of one shape, some by heart: each one's plan is the one that is made for it. Whether any was."""
    text = mutate(dice.choice(configs), dice, Spec).decode("utf-8", "surrogateescape")
    length = dice.choice((3, 4, 6, 8, 12, 13, 32, 64))
    cuts = sorted(dice.sample([found.end() for found in _PLACES.finditer(text)] or [0], dice.randrange(2)))
    short = dice.random() < 0.3
    host, init = dice.choice((V1, V2, HYBRID)), dice.random() < 0.2
    shelf: type[_Shelf] = type("_Here", (_Shelf,), {"shelf": {}})
    recalled = False
    for name in [_name(dice, length) for _ in range(4)]:
        config = text
        for place in reversed(cuts):
            config = config[:place] + (name[:12] if short else name) + config[place:]
        recalled |= _start(shelf, name, config.encode("utf-8", "surrogateescape"), host, init)
    return recalled


def _name(dice: random.Random, length: int) -> str:
    words = [word for word in _WORDS if len(word) == length]
    return dice.choice(words) if words and dice.random() < 0.3 else "".join(dice.choices("0123456789abcdef", k=length))


def _start(shelf: type[_Shelf], name: str, config: bytes, host: Host, init: bool) -> bool:
    path = f"/engine/{name}"
    mount = Mount(type="overlay", source="overlay", options=(f"upperdir=/s/{name}", "lowerdir=/l"))
    request = CreateRequest(id=name, bundle=path, root_mounts=(mount,), init=init)
    place = shelf("", request, _Bundle(path, config, rootfs=f"{path}/root"))
    made = Draft.make(request, _Bundle(path, config, rootfs=f"{path}/root"), host)
    made.settle("")
    draft = place.recall(host)
    if draft is None:
        place.keep(made, host, "")
        return False
    assert made.settled, "kept, though it must not be"
    assert loads(draft.packed()) == loads(made.packed()), "another plan"
    assert draft.limits() == made.limits(), "other limits"
    assert draft.record() == encoded(made.document.replace(created=draft.document.created)), "another record"
    assert draft.document.annotations == made.document.annotations, "other annotations"
    return True
