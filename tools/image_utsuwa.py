"""The image of `utsuwa`: which verbs start from it, what a start does, and some that are played before it is taken.

Extension modules can't be loaded here, so the verbs that need them (for registries, builds, archives), and ordinary
users, for whom names of accounts must be looked up, get the plain interpreter, before anything is done. What the others
import on the way does without: Python has the like of its accelerators itself.
"""

import sys

VERBS = (
    *("attach", "create", "diff", "events", "exec", "history", "images", "info", "inspect", "kill", "logs", "pause"),
    *("port", "ps", "recover", "rename", "restart", "rm", "rmi", "run", "start", "stats", "stop", "tag", "top"),
    *("unpause", "update", "version", "wait"),
)
BEHIND_THE_DOOR = (
    *("utsuwa.cli.global_flags", "utsuwa.cli.pulling"),
    *("utsuwa.engine.rootless", "utsuwa.engine.user_namespace"),
)
"""What the verbs import behind `need_extensions()`, or for flags before the verb and for ordinary users."""


def lacking(name):
    """An extension module is imported. Whoever can do without it does, as on a Python that was built without."""
    raise ModuleNotFoundError(f"{name} is an extension module, which the launcher can't load", name=name)


def begin():
    """A start: what Python would have done with signals, and collects garbage again."""
    import _signal
    import gc
    import posix

    import _utsuwa

    if posix.geteuid() or sys.argv[1:2] == [] or sys.argv[1] not in VERBS:
        _utsuwa.plain()
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT,))  # until main() has something better to say
    ignored = _utsuwa.ignored()
    for number in ignored:
        _signal.signal(number, _signal.SIG_IGN)
    if _signal.SIGINT not in ignored:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    if posix.isatty(1):
        sys.stdout.reconfigure(line_buffering=True)
    import threading

    thread = threading._main_thread  # it was another thread's number
    threading._active.clear()
    thread._set_ident()
    thread._set_native_id()
    threading._active[thread._ident] = thread
    gc.enable()
    leave(sys.modules["utsuwa.cli.main"].main())


def leave(code):
    """End at once: whatever a whole interpreter would take to pieces goes with the process."""
    import atexit
    import posix
    import threading

    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        posix._exit(code)


WARM_UP = 24
"""CPython 3.11 specialises functions after 8 calls, and what they hold after more."""
EVERY, RUN, EXEC, ASK = range(4)
"""Kinds of starts whose pages are known, as in src/utsuwa/cli/c/embedded.c."""
IMAGE, CONTAINER = "rehearsal", "steady"


def rehearse(watch):
    """Play some times, and then for those who watch: questions, and what has a process made.

    The state is in a directory of its own, the container that is asked about is this process, and a monitor that
    says the same to all answers. Nothing of the host is looked at that could be other than on the host of a start.
    """
    import posix

    modules = sys.modules
    directory = f"{sys.argv[-1]}-{posix.urandom(4).hex()}"  # beside what tools/image.py gave us: goes with it
    posix.mkdir(directory)
    for name, value in (("ROOT", "root"), ("RUN", "run"), ("NETWORK", "none")):
        posix.environ[f"UTSUWA_{name}".encode()] = (f"{directory}/{value}" if name != "NETWORK" else value).encode()
    client, containers, house = (
        modules[f"utsuwa.{name}"] for name in ("monitor.client", "engine.containers", "cli.house")
    )
    kept = [
        (client, "_forkserver", lambda run: monitor()),
        (containers, "in_user_namespace", lambda: False),
        (house.os, "geteuid", lambda: 0),
    ]
    kept = [(owner, name, value, getattr(owner, name)) for owner, name, value in kept]
    stdout = posix.dup(1)
    try:
        for owner, name, value, _real in kept:
            setattr(owner, name, value)
        posix.dup2(null := posix.open("/dev/null", posix.O_WRONLY), 1)
        posix.close(null)
        make_image(f"{directory}/root")
        keep_container(directory)
        for _ in range(WARM_UP):
            act()
        watch(
            [
                (EVERY, lambda entry: start(entry, "version")),
                (RUN, lambda entry: start(entry, *RUN_WORDS, "again", IMAGE, "true")),
                (EXEC, lambda entry: start(entry, "exec", CONTAINER, "true")),
                (ASK, lambda entry: start(entry, "ps")),
            ]
        )
    finally:
        posix.dup2(stdout, 1)
        posix.close(stdout)
        for owner, name, _value, real in kept:
            setattr(owner, name, real)


RUN_WORDS = ("run", "--rm", "-e", "A=b", "-v", "/:/host:ro", "--name")


def act():
    """A run, another process in a container that runs, and questions."""
    play(*RUN_WORDS, "once", IMAGE, "true")
    play("rm", "-f", "once")
    play("exec", CONTAINER, "true")
    for words in (["ps"], ["ps", "-a", "-q"], ["images"], ["inspect", CONTAINER], ["version"]):
        play(*words)


def start(entry, *words):
    """A command line from the process's begin to its end, by a child that has nothing else to do."""
    import posix

    class Ended(Exception):
        pass

    def end(code):
        raise Ended if not code else SystemExit(f"rehearsal: utsuwa {' '.join(words)} ended with {code}")

    posix._exit, posix.geteuid = end, lambda: 0
    sys.argv[:] = ["utsuwa", *words]
    try:
        entry(sys.path[0].encode())
    except Ended:
        return


def play(*words):
    """One command line, which must end well."""
    sys.modules["_utsuwa"].chapter()
    code = sys.modules["utsuwa.cli.main"].main(list(words))
    if code:
        raise SystemExit(f"rehearsal: utsuwa {' '.join(words)} ended with {code}")


def monitor():
    """A connection to a monitor that has said everything already."""
    import _socket

    frames = sys.modules["utsuwa.monitor.frames"]
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    said = ((frames.ACCEPTED, b""), (frames.STARTED, b'{"pid":1}'), (frames.EXITED, b'{"exitCode":0}'))
    theirs.send(b"".join(frames.pack(*each) for each in said))
    MONITORS[:] = [theirs]  # which lives until the next one
    return ours.detach()


MONITORS = []


def make_image(root):
    """An image without layers."""
    import _sha256
    import os

    store = sys.modules["utsuwa.image.store"]
    config = (
        b'{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin:/usr/bin"],"Cmd":["sh"],"WorkingDir":"/"},'
        b'"rootfs":{"type":"layers","diff_ids":[]}}'
    )
    digits = _sha256.sha256(config).hexdigest()
    blobs = f"{root}/content/blobs/sha256"
    os.makedirs(blobs)
    with open(f"{blobs}/{digits}", "wb") as file:
        file.write(config)
    name = f"sha256:{digits}"
    record = store.ImageRecord(id=name, manifest=name, blobs=(name,), chain=(), size=len(config))
    reference = sys.modules["utsuwa.spec.reference"].parse(IMAGE)
    store.ImageStore(root).put(record, [(reference, "")])


def keep_container(directory):
    """A container that runs: this process."""
    import os

    play("create", "--name", CONTAINER, IMAGE)
    record = sys.modules["utsuwa.cli.house"].House().containers.find(CONTAINER)
    records, documents = sys.modules["utsuwa.monitor.records"], sys.modules["utsuwa.runtime.record"]
    start = sys.modules["utsuwa.runtime.process"].start_time(os.getpid())
    paths = sys.modules["utsuwa.engine.paths"].Paths(f"{directory}/root", f"{directory}/run")
    run = records.Run(number=1, monitor=os.getpid(), monitorStart=start, startedAt=records.now())
    born = {"pid": os.getpid(), "startTime": start}
    document = documents.Document(
        id=record.id, ociVersion="1.3.0", bundle="/", rootfs="/", created=run.startedAt, **born
    )
    for folder, file, value in (
        (paths.monitor(record.id), records.RUN_FILE, run),
        (f"{paths.runtime}/{record.id}", documents.STATE, document),
    ):
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{file}", "w") as out:
            out.write(sys.modules["utsuwa.spec.codec"].dumps(value))
    with open(f"{paths.container(record.id)}/config.json") as config, open(f"{folder}/{documents.CONFIG}", "w") as out:
        out.write(config.read())
