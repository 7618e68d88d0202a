"""What runs in the new interpreter before its image is taken (tools/image.py): import, rehearse, tidy up.

Leaves three names behind for src/utsuwa/cli/c/image.c: ``entry``, called with the package's directory on every start;
``environ``, the dict that it fills first; ``stamps``, what the sources were.
"""

import gc
import marshal
import posix
import sys

import _utsuwa
import _utsuwa_json

with open(
    "image_rehearsal.py", "rb"
) as file:  # in the working directory; not imported: its path is of no concern later
    exec(compile(file.read(), "image_rehearsal.py", "exec"), rehearsal := {"__name__": "image_rehearsal"})

with open(sys.argv[-1], "rb") as file:
    CODES, stamps, HOME, EXTENSIONS = marshal.load(file)
environ = posix.environ
LENGTH = len(HOME)


class Given:
    """Imports the package's modules from the inventory, as if from their files."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in CODES:
            return None
        origin, is_package, _ = CODES[name]
        spec = ModuleSpec(name, None, origin=origin, is_package=is_package)
        spec.loader = Given
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [origin[: -len("/__init__.py")]]
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        exec(CODES[module.__name__][2], module.__dict__)


class Elsewhere:
    """The last finder: what exists as an extension module can be loaded by the plain interpreter only."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in EXTENSIONS:
            _utsuwa.plain()


def entry(home):
    """Run the command line; does not return."""
    home = home.decode("utf-8", "surrogateescape")
    if home != HOME:
        move(home)
    main()


def move(home):
    """The package is not where it was when the image was made: mend what names its directory."""
    sys.path[0] = home
    for name in PACKAGES:
        module = sys.modules[name]
        module.__path__[:] = [home + each[LENGTH:] for each in module.__path__]
    for name in ASKING:
        module = sys.modules[name]
        module.__file__ = home + module.__file__[LENGTH:]


def source_hook(hook):
    """A path hook that finds no extension modules, which could not be loaded."""
    external = sys.modules["_frozen_importlib_external"]
    if hook.__name__ != "path_hook_for_FileFinder":
        return hook
    return external.FileFinder.path_hook(
        (external.SourceFileLoader, external.SOURCE_SUFFIXES),
        (external.SourcelessFileLoader, external.BYTECODE_SUFFIXES),
    )


FIRST = [
    f"utsuwa.{name}"
    for name in (
        *("cli.oci", "runtime.state", "runtime.run", "runtime.foreground", "runtime.delete", "cgroup.v1"),
        *("cgroup.manager", "cgroup.devices_v1", "cgroup.resources_v1", "spec.validate", "spec.validate_linux"),
    )
]
"""What a run needs comes first, so that what it writes to lies close together."""
ModuleSpec = type(sys.__spec__)
EXTENSIONS = frozenset(EXTENSIONS)
PACKAGES = [name for name, code in CODES.items() if code[1]]
ASKING = [name for name, code in CODES.items() if b"__file__" in marshal.dumps(code[2])]  # the others needn't know it
sys.modules["_json"] = _utsuwa_json
sys.path_hooks[:] = [source_hook(hook) for hook in sys.path_hooks]
sys.path_importer_cache.clear()
sys.path.insert(0, HOME)
sys.meta_path.insert(0, Given)
sys.meta_path.append(Elsewhere)
for name in (*FIRST, *CODES):
    __import__(name)
main = sys.modules["utsuwa.cli.oci"].main
gc.disable()
rehearsal["rehearse"](_utsuwa.watch)
CODES = {name: (code[0], code[1], None) for name, code in CODES.items()}
sys.meta_path.remove(Given)
environ.clear()
del sys.argv[:]
gc.collect()
gc.freeze()
