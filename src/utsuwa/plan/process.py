"""The process itself: directory, terminal, hooks inside the container, and the program."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.plan import ops, rootfs
from utsuwa.plan.plan import Step
from utsuwa.spec.runtime import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase
    from utsuwa.spec.runtime import Hook

_PROCESS = "config.md#process"
_HOOKS = "config.md#posix-platform-hooks"
_LIFECYCLE = "runtime.md#lifecycle"
NOTHING = Process(cwd="/", args=("",))
"""Of a configuration without a process, which is required when `start` is called, not before (config.md#process): a
container that has all the rest, and whose start fails."""

_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def workdir(case: CreateCase) -> Iterator[Step]:
    """Make the working directory while the root can be written."""
    if case.process.cwd != "/":
        yield Step(ops.Workdir(case.process.cwd), _PROCESS)


def console(case: Case, *, device: bool) -> Iterator[Step]:
    """A terminal of the container's devpts; with ``device`` it becomes its /dev/console."""
    if case.options.console and case.has("mount"):
        yield _console(case, device)


def host_console(case: Case) -> Iterator[Step]:
    """A terminal of the host's devpts, before it is out of sight: among the host's mounts the container has none."""
    if case.options.console and not case.has("mount"):
        yield _console(case, False)


def _console(case: Case, device: bool) -> Step:
    size = case.process.consoleSize
    rows, columns = (size.height & 0xFFFF, size.width & 0xFFFF) if size else (0, 0)
    plain = int(case.options.foreground)
    return Step(ops.Console(ops.CONSOLE_SOCKET, rows, columns, case.process.user.uid, int(device), plain), _PROCESS)


def create_runtime_hooks(case: CreateCase) -> Iterator[Step]:
    """The hooks that the runtime runs while the new namespaces stand and the old root is still there."""
    hooks = case.spec.hooks
    if hooks and (hooks.prestart or hooks.createRuntime):
        yield Step(ops.Ask(ops.CREATE_RUNTIME_HOOKS), _LIFECYCLE)


def create_container_hooks(case: CreateCase) -> Iterator[Step]:
    """Hooks of the host's file system, in the container's namespaces."""
    hooks = case.spec.hooks
    if hooks and hooks.createContainer:
        yield Step(ops.Chdir(rootfs.place(case)), _HOOKS)  # runc does so, and hooks have come to rely on it
        yield from _hooks(case, ops.CREATE_CONTAINER, hooks.createContainer, ())


def start_container_hooks(case: CreateCase) -> Iterator[Step]:
    """Hooks of the container's own file system, as the container's user; they inherit its environment."""
    hooks = case.spec.hooks
    if hooks and hooks.startContainer and case.process is not NOTHING:
        env = case.environment()
        if not any(entry.startswith("HOME=") for entry in env):
            env = (*env, "HOME=")  # empty: filled in with what SET_HOME found
        yield from _hooks(case, ops.START_CONTAINER, hooks.startContainer, env)


def _hooks(case: CreateCase, kind: int, hooks: tuple[Hook, ...], env: tuple[str, ...]) -> Iterator[Step]:
    if case.options.state_json is None:
        raise InvalidArgument(f"hooks.{ops.HOOK_KINDS[kind]}: the plan needs the state document that hooks read")
    before, after = case.options.state_json("created")  # what follows step 2 of the lifecycle, and is before its step 8
    for index, hook in enumerate(hooks):
        args = tuple(hook.args) if hook.args else (hook.path,)
        own = env if hook.env is None else tuple(hook.env)
        timeout = (hook.timeout or 0) * 1000
        yield Step(ops.Hook(kind, index, hook.path, args, own, timeout, before, after), _HOOKS)


def ready(case: CreateCase) -> Iterator[Step]:
    """From here on the container exists: the runtime writes that down before the process can be started."""
    del case
    yield Step(ops.Ask(ops.READY), _LIFECYCLE)


def home(case: Case) -> Iterator[Step]:
    """HOME, where the configuration has none or an empty one; found while the process may still read all files."""
    if not any(entry.startswith("HOME=") and len(entry) > 5 for entry in case.environment()):
        yield Step(ops.SetHome(case.process.user.uid), "config.md#posix-process")


def find(case: Case) -> Iterator[Step]:
    """What will be executed, looked for before `start` so that `create` can say that it is not there."""
    if case.process is NOTHING:
        return
    args = case.process.args
    if not args or not args[0]:
        raise InvalidArgument("process.args: expected a program to run, found none")
    search = next((entry[5:] for entry in case.environment() if entry.startswith("PATH=")), _USUAL_PATH)
    yield Step(ops.FindExecutable(args[0], search), _PROCESS)


def await_start(case: CreateCase) -> Iterator[Step]:
    """Wait for `start`, unless create and start are one (`run`)."""
    if case.options.await_start:
        yield Step(ops.AwaitStart(ops.START_LISTENER), "runtime.md#start")


def supervise(case: CreateCase) -> Iterator[Step]:
    """Leave a reaper as the first process."""
    if case.options.init:
        yield Step(ops.Supervise(), "pid_namespaces(7)")


def execute(case: Case) -> Iterator[Step]:
    """Become the program."""
    yield Step(ops.Exec(tuple(case.process.args or ()), case.environment()), _PROCESS)
