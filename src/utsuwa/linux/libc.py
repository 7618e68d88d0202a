"""Functions of the C library that Python's os has not, by name: mount(2), inotify_init1(2), syncfs(2) and the like."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Argument = int | bytes | None


def _find() -> Callable[..., int]:
    """What the launcher has (src/utsuwa/cli/c/calls.c), or the C half of ctypes: the package around it costs 2.5 ms."""
    try:
        from _utsuwa import call as found
    except ImportError:
        return _by_ctypes()
    return found  # type: ignore[no-any-return]


def _by_ctypes() -> Callable[..., int]:
    import _ctypes
    import os

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "l"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    functions: dict[str, Function] = {}

    def by_ctypes(name: str, *arguments: Argument) -> int:
        function = functions.get(name)
        if function is None:
            function = functions[name] = Function(_ctypes.dlsym(library, name))
        words = (Long(each) if isinstance(each, int) else each for each in arguments)
        result: int = function(*words)
        if result < 0:
            number = _ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result

    return by_ctypes


call = _find()
"""``call(name, *arguments)``: an integer is passed as a long, bytes as the address of their first byte (with a NUL
behind them), None as NULL. Gives the int that the function gives; raises OSError, with the function's name, for a
negative one. The launcher knows those functions that calls.c lists.
"""
