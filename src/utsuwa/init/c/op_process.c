/* The last steps: where to be, what to run, and becoming it. */
#include "init.h"
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/wait.h>

#define ALL_SIGNALS (~0UL)

int op_WORKDIR(struct run *run, struct cursor *fields)
{
	int directory = in_root_directory(run, take_text(fields), 0755);
	/* what is there but no directory, or out of reach for root, is for CHDIR to complain about */
	if (directory >= 0)
		return close_fd(directory);
	return directory == -ENOTDIR || directory == -EACCES ? 0 : directory;
}

int op_CHDIR(struct run *run, struct cursor *fields)
{
	static char where[PATH_LIMIT];
	const char *path = take_text(fields);
	u64 may_fail = take(fields);
	if (!may_fail && run->arrived) /* as root, and the user may be refused on the way there */
		return 0;
	int error = (int)sys(chdir, path);
	if ((error == -EACCES || error == -EPERM) && may_fail)
		return 0;
	if (error)
		return error;
	run->arrived = may_fail != 0;
	/* "(unreachable)/…": a directory outside the root, had through a descriptor that leaked (CVE-2024-21626) */
	error = (int)sys(getcwd, where, sizeof where);
	if (error < 0)
		return fail(run, error, DETAIL_OUTSIDE_ROOT);
	return *where == '/' ? 0 : fail(run, -ENOENT, DETAIL_OUTSIDE_ROOT);
}

/* Can `path` be executed, as far as one can tell beforehand? */
static int executable(const char *path)
{
	struct stat status;
	int error = (int)sys(newfstatat, AT_FDCWD_, path, &status, 0);
	if (error)
		return error;
	if (is_directory(&status))
		return -EISDIR;
	if ((status.st_mode & S_IFMT) != S_IFREG)
		return -EACCES;
	/* by the effective ids and capabilities, as execve(2) asks; a filter may not know this call */
	error = (int)sys(faccessat2, AT_FDCWD_, path, 1 /* X_OK */, AT_EACCESS);
	return error == -ENOSYS || error == -EPERM ? (int)sys(faccessat, AT_FDCWD_, path, 1) : error;
}

static int has_slash(const char *text)
{
	for (; *text; text++)
		if (*text == '/')
			return 1;
	return 0;
}

/* execvp(3): the first that can be executed; a file that can't be is remembered and the search goes on. */
static int search_path(struct run *run, const char *file, const char *search)
{
	char *path = arena(PATH_LIMIT);
	size_t size = length(file);
	int result = -ENOENT;
	if (!path)
		return -ENOMEM;
	for (;;) {
		size_t part = 0;
		while (search[part] && search[part] != ':')
			part++;
		if (part + size + 3 <= PATH_LIMIT) {
			memcpy(path, search, part);
			if (!part)
				path[part++] = '.', search--; /* an empty element is the working directory */
			path[part] = '/';
			memcpy(path + part + 1, file, size + 1);
			int error = executable(path);
			if (!error) {
				run->executable = path;
				return 0;
			}
			if (error == -EACCES)
				result = error;
		}
		search += part;
		if (!*search++)
			break;
	}
	return fail(run, result, result == -ENOENT ? DETAIL_EXECUTABLE_NOT_FOUND : DETAIL_NONE);
}

int op_FIND_EXECUTABLE(struct run *run, struct cursor *fields)
{
	const char *file = take_text(fields), *search = take_text(fields);
	if (!*file)
		return fail(run, -ENOENT, DETAIL_EXECUTABLE_NOT_FOUND);
	if (!has_slash(file))
		return search_path(run, file, search);
	run->executable = file;
	return executable(file);
}

/* One write to both, so that a signal between two system calls can't fall between two owners. */
static void forward(int child, int signal)
{
	if (signal == SIGTTIN || signal == SIGTTOU)
		return; /* about this process's own place in the terminal */
	sys(kill, child, signal);
}

/* Reaps all that has ended; leaves with the status of the one that matters. */
static void reap(int child)
{
	int status;
	long pid;
	while ((pid = sys(wait4, -1, &status, 1 /* WNOHANG */, NULL)) > 0)
		if (pid == child)
			leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

__attribute__((noreturn)) static void supervise(struct run *run, int child)
{
	u64 signals = ALL_SIGNALS;
	(void)run;
	/* the channel, above all: its end tells the parent that the child has been executed */
	sys(close_range, 3, ~0U, 0);
	for (;;) {
		long signal = sys(rt_sigtimedwait, &signals, NULL, NULL, sizeof signals);
		if (signal == SIGCHLD)
			reap(child);
		else if (signal > 0)
			forward(child, (int)signal);
	}
}

/* Process 1 stays this program and does what an init owes its orphans; the container's command is its child. */
int op_SUPERVISE(struct run *run, struct cursor *fields)
{
	(void)fields;
	u64 all = ALL_SIGNALS, none = 0;
	int group;
	int error = (int)sys(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
	if (error)
		return error;
	/* not clone3: filters answer that with ENOSYS, because they can't look at its flags */
	long child = sys(clone, SIGCHLD, 0, 0, 0, 0);
	if (child < 0)
		return (int)child;
	if (child)
		supervise(run, (int)child);
	/* a group of its own in the foreground: the terminal's signals go to the command, not to its init */
	sys(setpgid, 0, 0);
	group = (int)sys(getpid);
	sys(ioctl, 0, TIOCSPGRP, &group);
	return (int)sys(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

/* The environment with HOME, unless it says one already; an empty one doesn't count. */
void add_home(char **env, u64 count, const char *home)
{
	u64 at = count;
	for (u64 i = 0; i < count; i++)
		if (starts(env[i], "HOME=")) {
			if (env[i][5])
				return;
			at = i;
		}
	size_t size = length(home);
	char *text = arena(size + 6);
	if (!text)
		return;
	memcpy(text, "HOME=", 5);
	memcpy(text + 5, home, size + 1);
	env[at] = text;
}

/* LISTEN_PID without a number becomes ours, which nobody outside knew: sd_listen_fds(3) takes no other. */
static void add_pid(char **env, u64 count)
{
	char digits[22];
	for (u64 i = 0; i < count; i++)
		if (same(env[i], "LISTEN_PID=")) {
			const char *number = decimal((u64)sys(getpid), digits + sizeof digits);
			char *text = arena(11 + sizeof digits);
			if (!text)
				return;
			memcpy(text, "LISTEN_PID=", 11);
			memcpy(text + 11, number, length(number) + 1);
			env[i] = text;
		}
}

/* Everything above stdio closes on exec. Done before a filter that may forbid it; what is opened later closes as well. */
int sweep_descriptors(struct run *run)
{
	int error = run->swept ? 0 : (int)sys(close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	run->swept = !error;
	return error;
}

/* What the caller asked to keep stays. */
static int prepare_descriptors(struct run *run)
{
	int error = sweep_descriptors(run);
	for (u64 i = 0; i < run->keep.count && !error; i++) {
		long result = sys(fcntl, ((const u64 *)run->keep.at)[i], F_SETFD, 0);
		error = result < 0 ? (int)result : 0;
	}
	return error;
}

int op_EXEC(struct run *run, struct cursor *fields)
{
	struct list args = take_list(fields), env = take_list(fields);
	char **argv = vector_of(args, 0), **envp = vector_of(env, 1);
	if (!args.count)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	if (!argv || !envp)
		return -ENOMEM;
	if (run->home)
		add_home(envp, env.count, run->home);
	add_pid(envp, env.count);
	if (run->old_umask != (u32)~0) /* no SET_IDENTITY had its say */
		sys(umask, run->old_umask);
	int error = prepare_descriptors(run);
	if (error)
		return error;
	report(run, REPORT_EXECUTING, 0);
	return (int)sys(execve, run->executable ? run->executable : argv[0], argv, envp);
}
