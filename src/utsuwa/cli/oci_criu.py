"""The options of `checkpoint` and `restore`, as requests to the runtime."""

from __future__ import annotations

from utsuwa.cli.arguments import quoted
from utsuwa.errors import InvalidArgument
from utsuwa.runtime.checkpoint import CheckpointRequest
from utsuwa.runtime.restore import RestoreRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def checkpoint_request(options: dict[str, Any]) -> CheckpointRequest:
    """What `checkpoint` is asked. Raises InvalidArgument."""
    return CheckpointRequest(
        **_both(options),
        parent=options.get("parent-path", ""),
        pre_dump=options.get("pre-dump", False),
        leave_running=options.get("leave-running", False),
        tcp_skip_in_flight=options.get("tcp-skip-in-flight", False),
        link_remap=options.get("link-remap", False),
        page_server=_page_server(options.get("page-server", "")),
        status=options.get("status-fd", -1),
    )


def restore_request(options: dict[str, Any]) -> RestoreRequest:
    """What `restore` is asked besides what `create` is. Raises InvalidArgument."""
    return RestoreRequest(
        **_both(options),
        lsm_profile=options.get("lsm-profile", ""),
        lsm_mount_context=options.get("lsm-mount-context", ""),
    )


def _both(options: dict[str, Any]) -> dict[str, Any]:
    for namespace in options.get("empty-ns", ()):
        if namespace != "network":  # that one always is: devices and addresses are for its makers to restore
            raise InvalidArgument(f"--empty-ns: namespace {quoted(namespace)} is not supported")
    return {
        "images": options.get("image-path") or "checkpoint",
        "work": options.get("work-path", ""),
        "cgroups": options.get("manage-cgroups-mode", ""),
        "tcp_established": options.get("tcp-established", False),
        "ext_unix_sk": options.get("ext-unix-sk", False),
        "shell_job": options.get("shell-job", False),
        "file_locks": options.get("file-locks", False),
        "auto_dedup": options.get("auto-dedup", False),
        "lazy_pages": options.get("lazy-pages", False),
    }


def _page_server(text: str) -> tuple[str, int] | None:
    """ADDRESS:PORT, an IPv6 address in brackets; None for nothing."""
    if not text:
        return None
    address, _, port = text.rpartition(":")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not address or not (port.isascii() and port.isdigit() and 0 < len(port) < 6 and 0 < int(port) < 65536):
        raise InvalidArgument(f"--page-server {quoted(text)}: expected ADDRESS:PORT")
    return address, int(port)
