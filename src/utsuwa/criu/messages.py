"""Requests to CRIU and its answers (images/rpc.proto of CRIU; the numbers are its interface and never change)."""

from __future__ import annotations

from utsuwa.criu.wire import data, field, fields, number

DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
"""Kinds of requests (criu_req_type)."""

CGROUP_MODES = {"": 6, "ignore": 0, "soft": 3, "full": 4, "strict": 5}
"""--manage-cgroups-mode -> criu_cg_mode; "" leaves it to CRIU."""

MEM_TRACK, LAZY_PAGES = 1, 2
"""Features that can be asked for (criu_features)."""

FEATURES = {MEM_TRACK: "MemTrack", LAZY_PAGES: "LazyPages"}
"""Their names in messages."""

_OPTIONS = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": 11,
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "ext_mnt": 23,
    "manage_cgroups": 24,
    "cg_root": 25,
    "rst_sibling": 26,
    "inherit_fd": 27,
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": 39,
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "orphan_pts_master": 50,
    "config_file": 51,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    Option = int | str | bytes | list[str] | list[bytes]


def options(**given: Option) -> bytes:
    """criu_opts; a list is a repeated field, bytes are a message of its own, False and "" are left out."""
    parts = []
    for name, value in given.items():
        if value is False or value in ("", []):
            continue
        for one in value if isinstance(value, list) else [value]:
            parts.append(field(_OPTIONS[name], one))
    return b"".join(parts)


def pair(first: str, second: str | int) -> bytes:
    """ext_mount_map, inherit_fd, cgroup_root, join_namespace, criu_page_server_info: each is two fields."""
    return field(1, first) + field(2, second)


def request(kind: int, settings: bytes = b"") -> bytes:
    """criu_req; ``settings`` are its options."""
    return field(1, kind) + (field(2, settings) if settings else b"")


def feature_request(feature: int) -> bytes:
    """Ask whether CRIU and the kernel have one feature."""
    return field(1, FEATURE_CHECK) + field(5, field(feature, 1))


def reply() -> bytes:
    """Let CRIU go on after a notification."""
    return field(1, NOTIFY) + field(3, 1)


class Response:
    """criu_resp: ``kind`` of request, whether it is a ``success``; of a notification its ``script`` and ``pid``.

    ``pid`` of an answer to RESTORE: the restored process. ``errno`` and ``message``: why it failed, as far as told.
    ``version``: 31701 for 3.17.1. ``features``: those that are there.
    """

    def __init__(self, message: bytes) -> None:
        found = fields(message)
        self.kind = number(found, 1)
        self.success = bool(number(found, 2))
        notify = fields(data(found, 5))
        self.script = data(notify, 1).decode(errors="replace")
        self.pid = number(notify, 2) or number(fields(data(found, 4)), 1)
        self.errno = number(found, 7)
        self.message = data(found, 9).decode(errors="replace").strip()
        version = fields(data(found, 10))
        self.version = number(version, 1) * 10000 + number(version, 2) * 100 + number(version, 4)
        features = fields(data(found, 8))
        self.features = {feature for feature in FEATURES if number(features, feature)}
