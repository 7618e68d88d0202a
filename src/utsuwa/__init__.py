"""utsuwa (器, "vessel"): containers, whole, from the kernel up, in Python.

``utsuwa.run("busybox", ["echo", "hi"])`` and all else of the library is loaded when it is first used: docs/library.md.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa import aio as aio
    from utsuwa import errors as errors
    from utsuwa.errors import Conflict as Conflict
    from utsuwa.errors import Error as Error
    from utsuwa.errors import FailedPrecondition as FailedPrecondition
    from utsuwa.errors import Internal as Internal
    from utsuwa.errors import InvalidArgument as InvalidArgument
    from utsuwa.errors import NotFound as NotFound
    from utsuwa.errors import PermissionDenied as PermissionDenied
    from utsuwa.errors import Unavailable as Unavailable
    from utsuwa.errors import Unsupported as Unsupported
    from utsuwa.library.container import Container as Container
    from utsuwa.library.default import containers as containers
    from utsuwa.library.default import events as events
    from utsuwa.library.default import images as images
    from utsuwa.library.default import networks as networks
    from utsuwa.library.default import run as run
    from utsuwa.library.default import start as start
    from utsuwa.library.default import volumes as volumes
    from utsuwa.library.engine import Engine as Engine
    from utsuwa.library.failures import ProcessFailed as ProcessFailed
    from utsuwa.library.failures import TimedOut as TimedOut
    from utsuwa.library.images import Image as Image
    from utsuwa.library.networks import Network as Network
    from utsuwa.library.options import Options as Options
    from utsuwa.library.output import Chunk as Chunk
    from utsuwa.library.output import LogLine as LogLine
    from utsuwa.library.output import Output as Output
    from utsuwa.library.process import Process as Process
    from utsuwa.library.usage import Usage as Usage
    from utsuwa.library.volumes import StoredVolume as StoredVolume
    from utsuwa.spec.healthcheck import Healthcheck as Healthcheck
    from utsuwa.spec.request import Logging as Logging
    from utsuwa.spec.request import Restart as Restart
    from utsuwa.spec.request import Tmpfs as Tmpfs
    from utsuwa.spec.request import Volume as Volume

_HOMES = {
    "errors": "Conflict Error FailedPrecondition Internal InvalidArgument NotFound PermissionDenied "
    "Unavailable Unsupported",
    "library.container": "Container",
    "library.default": "containers events images networks run start volumes",
    "library.engine": "Engine",
    "library.failures": "ProcessFailed TimedOut",
    "library.images": "Image",
    "library.networks": "Network",
    "library.options": "Options",
    "library.output": "Chunk LogLine Output",
    "library.process": "Process",
    "library.usage": "Usage",
    "library.volumes": "StoredVolume",
    "spec.healthcheck": "Healthcheck",
    "spec.request": "Logging Restart Tmpfs Volume",
}
_MODULES = ("aio", "errors")


def _load(name: str) -> object:
    """The module attributes above, when they are first asked for: urun, which pays for every line, never does."""
    if name in _MODULES:
        return __import__(f"utsuwa.{name}", fromlist=("",))
    for home, names in _HOMES.items():
        if name in names.split():
            return getattr(__import__(f"utsuwa.{home}", fromlist=(name,)), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not TYPE_CHECKING:

    def __getattr__(name):
        value = globals()[name] = _load(name)
        return value

    def __dir__():
        names = " ".join(_HOMES.values()).split()
        return sorted({*globals(), *names, *_MODULES})
