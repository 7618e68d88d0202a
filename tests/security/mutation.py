"""Documents with a few things changed, added, moved or broken."""

from __future__ import annotations

import copy
import json
import random

from tests.security.schema import grow
from tests.unit.spec.test_fuzz import STRANGE, _places
from utsuwa.spec.record import Record

WORDS = [
    *STRANGE, -(2**63), 2**32 - 1, 2**32, 4294967295.0, 1e300, float(2**53), "x" * 5000, "../" * 50 + "etc", "\u202e",
    "\x7f", "rbind", "ro", "rshared", "tmpcopyup", "idmap", "mode=999999", "gid=\u00b2", "size=-1", "bind", "tmpfs",
    "proc", "cgroup", "CAP_SYS_ADMIN", "RLIMIT_NOFILE", "SCMP_ACT_NOTIFY", "SCMP_ACT_ERRNO", "time", "/proc",
    "/proc/self/fd/7",
    "/dev/console", "/sys/fs/cgroup", "\u0661", "9" * 4000, "sha256:" + "0" * 64,
    "application/vnd.oci.image.index.v1+json",
    {"containerID": 0, "hostID": 2**32 - 1, "size": 2**32 - 1}, [{"containerID": 0, "hostID": 0, "size": 1}] * 400,
]  # fmt: skip


def mutate(text: str, dice: random.Random, cls: type[Record] | None = None) -> bytes:
    """A JSON document with a few values exchanged, moved, doubled, dropped, nested, and now and then broken as text.

    With the class of the document, properties that it lacks are added too.
    """
    document = json.loads(text)
    for _ in range(dice.randrange(6) if cls else 0):
        grow(document, cls, dice)
        if dice.random() < 0.3:
            return json.dumps(document).encode("utf-8", "surrogatepass")
    for _ in range(dice.randrange(1, 5)):
        places = _places(document, [])
        if not places:
            break
        holder, key = dice.choice(places)
        action = dice.random()
        if action < 0.15:
            del holder[key]
        elif action < 0.6:
            holder[key] = copy.deepcopy(dice.choice(WORDS))
        elif action < 0.8:
            other, name = dice.choice(places)
            holder[key] = copy.deepcopy(other[name])
        elif action < 0.9 and isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[: dice.randrange(1, 30)]))
        else:
            holder[key] = [holder[key]] if dice.random() < 0.5 else {"path": holder[key]}
    data = bytearray(json.dumps(document).encode("utf-8", "surrogatepass"))
    if dice.random() < 0.1:
        damage(data, dice)
    if dice.random() < 0.002:
        data[:] = b"[" * 50_000 + data
    return bytes(data)


def damage(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(data) + 1)
        data[place : place + dice.randrange(4)] = dice.randbytes(dice.randrange(4))
    if dice.random() < 0.3:
        del data[dice.randrange(len(data) + 1) :]
