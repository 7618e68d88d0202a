"""``--mount type=volume,source=data,target=/data,readonly``: Docker's long way to ask for a mount, parsed."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec.flags import check_target, parse_bytes
from utsuwa.spec.request import Tmpfs, Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_BARE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
"""Keys that mean true without a value."""
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KINDS = ("bind", "volume", "tmpfs", "image")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CONSISTENCIES = ("", "default", "consistent", "cached", "delegated")
_DRIVEN = ("volume-opt", "volume-label")


def parse_mount(text: str, cwd: str = "/") -> Volume | Tmpfs:
    """What ``--mount`` asks for; a relative source of a bind counts from ``cwd``. Raises InvalidArgument."""
    try:
        values = _read(text)
        kind = values.pop("type", "volume")
        if kind not in _KINDS:
            raise InvalidArgument(f"mount type unknown: {kind!r} (use {', '.join(_KINDS)})")
        if not values.get("target"):
            raise InvalidArgument("target is required")
        _refuse_mixture(kind, values)
    except InvalidArgument as error:
        raise InvalidArgument(f'invalid argument "{text}" for "--mount" flag: {error}') from None
    check_target(values["target"], text, "mount")
    if values.pop("consistency", "") not in _CONSISTENCIES:
        raise InvalidArgument(f"mount {text!r}: consistency is one of {', '.join(_CONSISTENCIES[1:])}")
    make: dict[str, Callable[[dict[str, Any], str, str], Volume | Tmpfs]]
    make = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs, "image": _image}
    return make[kind](values, text, cwd)


def _read(text: str) -> dict[str, Any]:
    """The keys with their values, switches as booleans; options and labels as dictionaries."""
    found: dict[str, Any] = {}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals and key not in _BARE:
            raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        if key not in _KEYS and key not in _ALIASES:
            raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
        name = _ALIASES.get(key, key)
        if name in _DRIVEN:
            option, _, content = value.partition("=")
            found.setdefault(name, {})[option] = content
        else:
            found[name] = _KEYS[name](key, value if equals else "true")
    return found


def _word(_key: str, value: str) -> str:
    return value


def _switch(key: str, value: str) -> bool:
    if value not in _BOOLEANS:
        raise InvalidArgument(f"invalid value for {key}: {value}")
    return _BOOLEANS[value]


def _size(key: str, value: str) -> int:
    try:
        return parse_bytes(value, key)
    except InvalidArgument:
        raise InvalidArgument(f"invalid value for {key}: {value}") from None


def _mode(key: str, value: str) -> int:
    if not value or len(value) > 6 or value.strip("01234567"):
        raise InvalidArgument(f"invalid value for {key}: {value}")
    return int(value, 8)


def _recursion(key: str, value: str) -> str:
    if value in ("enabled", "disabled", "writable", "readonly"):
        return value
    if value in _BOOLEANS:
        return "enabled" if _BOOLEANS[value] else "disabled"
    raise InvalidArgument(
        f'invalid value for {key}: {value} (must be "enabled", "disabled", "writable", or "readonly")'
    )


_KEYS: dict[str, Callable[[str, str], object]] = {
    "type": lambda _key, value: value.lower(),
    "source": _word,
    "target": _word,
    "consistency": _word,
    "readonly": _switch,
    "bind-propagation": _word,
    "bind-nonrecursive": _switch,
    "bind-recursive": _recursion,
    "volume-nocopy": _switch,
    "volume-subpath": _word,
    "volume-driver": _word,
    "volume-opt": _word,
    "volume-label": _word,
    "image-subpath": _word,
    "tmpfs-size": _size,
    "tmpfs-mode": _mode,
}


def _refuse_mixture(kind: str, values: dict[str, Any]) -> None:
    for key in values:
        owner, dash, _ = key.partition("-")
        if dash and owner != kind:
            raise InvalidArgument(f"cannot mix '{owner}-*' options with mount type '{kind}'")
    wanted = values.get("bind-recursive")
    if wanted in ("writable", "readonly") and not values.get("readonly"):
        raise InvalidArgument(f"option 'bind-recursive={wanted}' requires 'readonly' to be specified in conjunction")
    if wanted == "readonly" and values.get("bind-propagation") != "rprivate":
        raise InvalidArgument(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
        )


def _bind(values: dict[str, Any], text: str, cwd: str) -> Volume:
    source = values.get("source", "")
    if not source:
        raise InvalidArgument(f"mount {text!r}: a bind needs a source")
    propagation = values.get("bind-propagation") or None
    if propagation and propagation not in _PROPAGATIONS:
        raise InvalidArgument(f"mount {text!r}: bind-propagation is one of {', '.join(_PROPAGATIONS)}")
    recursion = values.get("bind-recursive", "disabled" if values.get("bind-nonrecursive") else "enabled")
    return Volume(
        kind="bind",
        source=source if source[0] == "/" else f"{cwd.rstrip('/')}/{source}",
        target=values["target"],
        read_only=values.get("readonly", False),
        recursive=recursion != "disabled",
        propagation=propagation,
        beneath=recursion if recursion in ("writable", "readonly") else "",
        must_exist=True,
        long=True,
    )


def _volume(values: dict[str, Any], text: str, _cwd: str) -> Volume:
    from utsuwa.identifiers import check_name

    source = values.get("source") or None
    if source:
        check_name(source, "volume")
    subpath = check_subpath(values.get("volume-subpath", ""), text)
    if subpath and not source:
        raise InvalidArgument(f"mount {text!r}: a volume-subpath needs a named volume as source")
    return Volume(
        kind="volume",
        source=source,
        target=values["target"],
        read_only=values.get("readonly", False),
        copy=not values.get("volume-nocopy"),
        subpath=subpath,
        driver=values.get("volume-driver", ""),
        options=values.get("volume-opt"),
        labels=values.get("volume-label"),
        long=True,
    )


def _tmpfs(values: dict[str, Any], text: str, _cwd: str) -> Tmpfs:
    if values.get("source"):
        raise InvalidArgument(f"mount {text!r}: a tmpfs has no source")
    options = ["nosuid", "nodev", "noexec"]
    if values.get("readonly"):
        options.append("ro")
    if values.get("tmpfs-size"):
        options.append(f"size={values['tmpfs-size']}")
    if "tmpfs-mode" in values:
        options.append(f"mode={values['tmpfs-mode']:o}")
    return Tmpfs(target=values["target"], options=tuple(options), long=True)


def _image(values: dict[str, Any], text: str, _cwd: str) -> Volume:
    if not values.get("source"):
        raise InvalidArgument(f"mount {text!r}: an image mount needs an image as source")
    if values.get("readonly") is False:
        raise InvalidArgument(f"mount {text!r}: image mounts are read-only, copy the files where they can be written")
    return Volume(
        kind="image",
        source=values["source"],
        target=values["target"],
        read_only=True,
        subpath=check_subpath(values.get("image-subpath", ""), text),
        long=True,
    )


def check_subpath(path: str, text: str) -> str:
    """A path beneath a volume or image, as it is. Raises InvalidArgument for one that is absolute or leads outside."""
    if path and (path[0] == "/" or "\0" in path or ".." in path.split("/")):
        raise InvalidArgument(f"mount {text!r}: the subpath must be a relative path within, found {path!r}")
    return path


def split_fields(text: str) -> list[str]:
    """The fields of a line of CSV (RFC 4180): a field in quotes may hold commas, and quotes twice. Raises
    InvalidArgument.
    """
    fields, rest = [], text
    if not text:
        raise InvalidArgument("it is empty")
    while True:
        if rest[:1] == '"':
            field, rest = _quoted(rest[1:])
        else:
            field, comma, tail = rest.partition(",")
            if '"' in field:
                raise InvalidArgument(f"a quote within the field {field}: put the whole field into quotes")
            rest = comma + tail
        fields.append(field)
        if not rest:
            return fields
        rest = rest[1:]


def _quoted(text: str) -> tuple[str, str]:
    """The field whose opening quote has been read, and what comes behind it (nothing, or a comma first)."""
    field = ""
    while True:
        part, quote, text = text.partition('"')
        field += part
        if quote and text[:1] == '"':
            field, text = field + '"', text[1:]
        elif quote and text[:1] in ("", ","):
            return field, text
        else:
            raise InvalidArgument('extraneous or missing " in quoted-field')
