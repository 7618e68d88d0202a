/* Hooks that run in the container's namespaces: the state on their stdin, a limit on their time. */
#include "init.h"
#include <asm/signal.h>
#include <linux/memfd.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/wait.h>

struct hook {
	const char *path, *before, *after;
	char **args, **env;
	u64 timeout;
};

static int write_all(int file, const char *text, size_t size)
{
	while (size) {
		long written = sys(write, file, text, size);
		if (written < 0)
			return (int)written;
		text += written;
		size -= (size_t)written;
	}
	return 0;
}

/* The state as a file in memory: unlike a pipe it never blocks, however long the annotations are. */
static int state_file(const struct hook *hook)
{
	char digits[21];
	int file = (int)sys(memfd_create, "state", MFD_CLOEXEC);
	if (file < 0)
		return file;
	const char *pid = decimal((u64)sys(getpid), digits + sizeof digits);
	int error = write_all(file, hook->before, length(hook->before));
	error = error ? error : write_all(file, pid, length(pid));
	error = error ? error : write_all(file, hook->after, length(hook->after));
	error = error ? error : (int)sys(lseek, file, 0, 0);
	if (!error)
		return file;
	close_fd(file);
	return error;
}

/* The hook's process. What goes wrong before its first instruction comes back through `trouble`. */
__attribute__((noreturn)) static void become_hook(const struct hook *hook, int state, int trouble)
{
	int error = (int)sys(dup3, state, 0, 0);
	sys(setpgid, 0, 0); /* so that a timeout gets its children as well */
	if (error >= 0)
		error = (int)sys(execve, hook->path, hook->args, hook->env);
	sys(write, trouble, &error, sizeof error);
	leave(127);
}

static int wait_for(struct run *run, const struct hook *hook, int pid, int pidfd)
{
	struct pollfd poll = {.fd = pidfd, .events = POLLIN};
	struct {
		s64 seconds, nanoseconds;
	} limit = {(s64)(hook->timeout / 1000), (s64)(hook->timeout % 1000) * 1000000};
	int status = 0, late = 0;
	long result;
	do /* the kernel writes back what is left of the time */
		result = sys(ppoll, &poll, 1, hook->timeout ? &limit : NULL, NULL, 0);
	while (result == -EINTR);
	if (result == 0) {
		late = 1;
		sys(kill, -pid, SIGKILL);
		sys(kill, pid, SIGKILL);
	}
	do
		result = sys(wait4, pid, &status, 0, NULL);
	while (result == -EINTR);
	if (result < 0)
		return (int)result;
	if (late)
		return fail_value(run, -ETIMEDOUT, DETAIL_HOOK_TIMEOUT, (s64)hook->timeout);
	return status ? fail_value(run, -ECANCELED, DETAIL_HOOK_STATUS, status) : 0;
}

static int start(struct run *run, const struct hook *hook, int state)
{
	int trouble[2], pidfd = -1, error = (int)sys(pipe2, trouble, O_CLOEXEC), found = 0;
	if (error)
		return error;
	/* not clone3: filters answer that with ENOSYS, because they can't look at its flags */
	long pid = sys(clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
	if (!pid)
		become_hook(hook, state, trouble[1]);
	close_fd(trouble[1]);
	error = (int)pid;
	if (pid > 0) {
		long size = sys(read, trouble[0], &found, sizeof found); /* ends with the hook's exec */
		error = wait_for(run, hook, (int)pid, pidfd);
		if (size == sizeof found && found < 0)
			error = fail(run, found, DETAIL_HOOK_START);
		close_fd(pidfd);
	}
	close_fd(trouble[0]);
	return error;
}

int op_HOOK(struct run *run, struct cursor *fields)
{
	struct hook hook;
	take(fields); /* kind and index are for the one who describes a failure */
	take(fields);
	hook.path = take_text(fields);
	struct list args = take_list(fields), env = take_list(fields);
	hook.args = vector_of(args, !args.count);
	hook.env = vector_of(env, 0);
	if (hook.env && run->home)
		for (u64 i = 0; i < env.count; i++)
			if (starts(hook.env[i], "HOME=") && !hook.env[i][5])
				add_home(hook.env, env.count, run->home);
	hook.timeout = take(fields);
	hook.before = take_text(fields);
	hook.after = take_text(fields);
	if (!hook.args || !hook.env)
		return -ENOMEM;
	if (!args.count)
		hook.args[0] = (char *)hook.path;
	int state = state_file(&hook);
	if (state < 0)
		return state;
	int error = start(run, &hook, state);
	close_fd(state);
	return error;
}
