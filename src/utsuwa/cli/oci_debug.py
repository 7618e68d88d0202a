"""`--debug`: every operation of a plan in the log, before it is carried out.

What runc's debug log is searched for (its test suite, and people with scripts) begins the lines about the same moments:
the way to the new process, that process's own work, its last step, processors and filter flags.
"""

from __future__ import annotations

from utsuwa.plan import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from utsuwa.cli.arguments import Values
    from utsuwa.plan.plan import Plan


def log_of(settings: Values) -> Callable[[Plan], None]:
    """What writes a plan to the log that the global options ask for."""
    from utsuwa.cli.oci_report import debug

    def write(plan: Plan) -> None:
        for line in lines(plan):
            debug(settings, line)

    return write


def lines(plan: Plan) -> Iterator[str]:
    """One line an operation; a second one where runc has a word for what matters about it."""
    entered = any(isinstance(op, ops.Enter) for op in plan.ops)
    phase = "nsexec container setup"
    for op in plan.ops:
        if isinstance(op, ops.Exec):
            phase = "setns_init: about to exec" if entered else "init: closing the pipe to signal completion"
        yield f"{phase}: {op.describe()}"
        if isinstance(op, ops.CpuAffinity) and op.mask.strip(b"\xff"):
            yield f"nsexec: affinity: {int.from_bytes(op.mask, 'little'):#x}"
        elif isinstance(op, ops.Seccomp):
            yield f"seccomp filter flags: {op.flags}"
        elif isinstance(op, ops.Clone):
            phase = "child process in init()"
