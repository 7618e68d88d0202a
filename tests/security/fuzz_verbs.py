"""Command lines and records on disk at random: every verb ends in a result or an error, whatever it is told or finds.

On a damaged record only such verbs are called as change nothing: it could name any process and any cgroup.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import tempfile

from tests.contract.oci import CONFIG
from tests.security.mutation import mutate
from tests.security.schema import WORDS
from utsuwa.cli import oci
from utsuwa.errors import Error
from utsuwa.runtime.events import stats
from utsuwa.runtime.explain import plan_of
from utsuwa.runtime.list import columns, containers
from utsuwa.runtime.process import start_time
from utsuwa.runtime.ps import processes
from utsuwa.runtime.record import Document, Store
from utsuwa.runtime.state import state
from utsuwa.spec.codec import dumps

_HIERARCHY = {"memory": "/sys/fs/cgroup/memory", "cpu,cpuacct": "/sys/fs/cgroup/cpu"}
_CGROUPS = (
    {
        "version": "v1",
        "mounts": _HIERARCHY,
        "paths": {"memory": "/sys/fs/cgroup/memory/a", "cpu,cpuacct": "/sys/fs/cgroup/cpu/b"},
        "unprivileged": False,
    },
    {
        "version": "v2",
        "mount": "/sys/fs/cgroup/unified",
        "path": "/sys/fs/cgroup/unified/a",
        "unprivileged": False,
        "absent": False,
    },
)
_RECORDS = [
    json.dumps({
        "id": "one", "ociVersion": "1.3.0", "bundle": "/b", "rootfs": "/b/rootfs", "created": "2020-01-01T00:00:00Z",
        "annotations": {"a": "b"}, "options": {"no_pivot": True, "no_new_keyring": False}, "ownPidNamespace": True,
        "pid": os.getpid(), "startTime": start_time(os.getpid()), "poststart": False, "poststop": True,
        "cgroup": cgroup,
    })
    for cgroup in _CGROUPS
]  # fmt: skip


class _House:
    """A directory of containers, made at the first need and removed at the end; standard streams lead to nowhere."""

    def __init__(self) -> None:
        self.path = ""

    def root(self) -> str:
        if not self.path:
            self.path = tempfile.mkdtemp(prefix="utsuwa-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
            atexit.register(shutil.rmtree, self.path, ignore_errors=True)
            os.mkdir(f"{self.path}/root", 0o700)
        return f"{self.path}/root"


_HOUSE = _House()


def record(dice: random.Random) -> None:
    """A container whose record or configuration on disk is not what we wrote."""
    store = Store(_HOUSE.root())
    directory = f"{store.root}/one"
    os.makedirs(directory, exist_ok=True)
    data = mutate(dice.choice(_RECORDS), dice, Document if dice.random() < 0.3 else None)
    config = mutate(dumps(CONFIG), dice) if dice.random() < 0.3 else dumps(CONFIG).encode()
    for name, content in (("state.json", data), ("config.json", config)):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(content)
    found, problems = containers(store)
    columns(found)
    assert len(found) + len(problems) == 1
    dumps(state(store, "one"))
    for read in (lambda: stats(store, "one"), lambda: processes(store, "one"), lambda: plan_of(store.open("one"))):
        try:
            read()
        except Error as error:
            assert str(error)


_VERBS = [name for name in oci.VERBS if name not in ("spec", "features")]
_VALUES = (
    *WORDS, "one", "9" * 30, "-1", "64M", "1h", "0x10", "1e3", "KILL", "SIGTERM", "rtmin+3", "json", "table", "a=b",
    "1:2", "--", "-", "\udcff", "=", "--=", "-x", "99999999999999999999", "\u0661", "1.5ms", "memory:/x",
    "@/x", "A" * 200,
)  # fmt: skip


def commandline(dice: random.Random) -> None:
    """Words to `urun`: no container is there, so no verb gets further than what it is told."""
    root = _HOUSE.root()
    shutil.rmtree(f"{root}/one", ignore_errors=True)
    verb = dice.choice(_VERBS)
    words = ["--root", root, verb]
    for option in dice.choices(oci.VERBS[verb].options, k=dice.randrange(4)):
        spelling = dice.choice(option.rstrip("=#*").split("|"))
        value = dice.choice(_VALUES)
        words += dice.choice(([f"--{spelling}", value], [f"-{spelling}={value}"], [f"--{spelling}"]))
    words += dice.choices(_VALUES, k=dice.randrange(4))
    said = os.open(f"{_HOUSE.path}/said", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    nothing = os.open("/dev/null", os.O_RDONLY)
    saved = [os.dup(number) for number in range(3)]
    before = os.getcwd()
    os.chdir(_HOUSE.path)
    try:
        for number, descriptor in enumerate((nothing, said, said)):
            os.dup2(descriptor, number)
        code = oci.invoke(words)
    finally:
        for number, descriptor in enumerate(saved):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(before)
        text = os.pread(said, 1 << 20, 0)
        os.close(said)
        os.close(nothing)
    assert code in (0, 1, 2, 255), (words, code)
    assert b"Traceback" not in text, (words, text)
    assert code == 0 or text, words
    assert os.listdir(root) == [], words
