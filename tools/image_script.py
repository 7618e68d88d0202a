"""What runs in the new interpreter before its image is taken (tools/image.py): import, rehearse, tidy up.

Leaves three names behind for src/utsuwa/cli/c/image.c: ``entry``, called with the package's directory on every start;
``environ``, the dict that it fills first; ``stamps``, what the sources were. Whose image it is (image_urun.py,
image_utsuwa.py) says what a start does besides, and plays some starts.
"""

import gc
import marshal
import posix
import sys

import _utsuwa
import _utsuwa_json

with open(sys.argv[-1], "rb") as file:
    PROGRAM, CODES, stamps, HOME, EXTENSIONS = marshal.load(file)
with open(f"image_{PROGRAM}.py", "rb") as file:
    # in the working directory; not imported: its path is of no concern later
    exec(compile(file.read(), f"image_{PROGRAM}.py", "exec"), program := {"__name__": "program"})
environ = posix.environ
end_process = posix._exit
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
        _utsuwa.chapter()
        exec(CODES[module.__name__][2], module.__dict__)
        _utsuwa.chapter()


class Elsewhere:
    """The last finder: what exists as an extension module can be loaded by the plain interpreter only."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in EXTENSIONS:
            lacking(name)


def entry(home):
    """Run the command line; does not return."""
    home = home.decode("utf-8", "surrogateescape")
    if home != HOME:
        move(home)
    begin()


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


def watch(acts):
    """Note the pages that starts write to: those that a child which plays one, out of ``acts`` (kind, function of
    ``entry``), shares with nobody any more.

    By now all that is imported has been, and has been played. A start finds no free memory in the image, so this child
    doesn't either; it has children of its own because what this process takes from here on would be free for the next.
    """
    CODES.clear()
    sys.meta_path.remove(Given)
    gc.collect()
    gc.freeze()
    areas = _utsuwa.areas()
    reader, writer = posix.pipe()
    _utsuwa.fill()
    if not posix.fork():
        code = 1
        try:
            _utsuwa.thaw()
            code = int(any(play(kind, act, areas, writer) for kind, act in acts))
        finally:
            end_process(code)
    posix.close(writer)
    told = b""
    while piece := posix.read(reader, 65536):
        told += piece
    posix.close(reader)
    if posix.wait()[1]:
        raise SystemExit("image: a rehearsal failed")
    for at in range(0, len(told), 8):
        page = int.from_bytes(told[at : at + 8], "little")
        _utsuwa.note(page % PAGE, page - page % PAGE)


def play(kind, act, areas, writer):
    """One act, in a child; not 0 if it fails."""
    if not posix.fork():
        code = 1
        try:
            _utsuwa.fill()  # so that this one makes room for itself, as a start does
            environ.update((b"NAME%d" % number, b"value") for number in range(30))
            act(entry)
            for area in areas:
                tell_own_pages(writer, kind, *area)
            code = 0
        finally:
            end_process(code)
    return posix.wait()[1]


def tell_own_pages(writer, kind, begin, size):
    """Write the addresses of the pages that nobody else maps, plus the kind of start, 8 bytes each
    (proc_pid_pagemap(5)). One by one: what this writes to would count as well.
    """
    own = PRESENT | EXCLUSIVE
    file = posix.open("/proc/self/pagemap", posix.O_RDONLY)
    for page in range(begin, begin + size, PAGE):
        if int.from_bytes(posix.pread(file, 8, page // PAGE * 8), "little") & own == own:
            posix.write(writer, (page + kind).to_bytes(8, "little"))
    posix.close(file)


PAGE = 4096
EXCLUSIVE, PRESENT = 1 << 56, 1 << 63
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
lacking = program["lacking"]
for name in CODES:
    __import__(name)
begin = program["begin"]
gc.disable()
program["rehearse"](watch)
environ.clear()
del sys.argv[:], program
gc.collect()
gc.freeze()
