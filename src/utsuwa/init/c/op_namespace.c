/* Namespaces, cgroups and the birth of the container's first process. */
#include "init.h"
#include <linux/nsfs.h>
#include <linux/sched.h>

#define NAMESPACES_LIMIT 8
#define CLONE_NEWTIME_ 0x80
#define NAMESPACE_OF(list, i) (((const u64 *)(list).at)[i])

struct namespaces {
	u64 count;
	int file[NAMESPACES_LIMIT];
	u64 kind[NAMESPACES_LIMIT];
};

/* Opened before a mount namespace is joined, in which the path would name nothing, or something of the container's. */
static int open_birthplace(struct run *run)
{
	if (run->born || run->cgroup >= 0 || !run->birthplace || !*run->birthplace)
		return 0;
	run->cgroup = open_path(run->birthplace, O_PATH | O_DIRECTORY);
	return run->cgroup < 0 ? fail(run, run->cgroup, DETAIL_OPEN_CGROUP) : 0;
}

static int open_namespaces(struct run *run, struct namespaces *all, struct list kinds, struct list paths)
{
	for (u64 i = 0; i < kinds.count; i++) {
		int file = open_path(next_text(&paths.at), O_RDONLY);
		if (file < 0)
			return fail_value(run, file, DETAIL_OPEN_SOURCE, (s64)i);
		all->file[all->count] = file;
		all->kind[all->count++] = NAMESPACE_OF(kinds, i);
		long type = sys(ioctl, file, NS_GET_NSTYPE, 0);
		if (type == -ENOTTY || (type >= 0 && (u64)type != NAMESPACE_OF(kinds, i)))
			return fail_value(run, -EINVAL, DETAIL_WRONG_NAMESPACE_TYPE, (s64)i);
		if (type < 0)
			return fail_value(run, (int)type, DETAIL_WRONG_NAMESPACE_TYPE, (s64)i);
	}
	return 0;
}

/* One pass of setns over those not joined yet; `user`: the user namespace or the others. With `try`, EPERM waits for later. */
static int join_pass(struct run *run, struct namespaces *all, int user, int try)
{
	for (u64 i = 0; i < all->count; i++) {
		if (all->file[i] < 0 || (all->kind[i] == CLONE_NEWUSER) != user)
			continue;
		int error = (int)sys(setns, all->file[i], all->kind[i]);
		if (error == -EPERM && try)
			continue;
		if (error)
			return fail_value(run, error, DETAIL_NONE, (s64)i);
		close_fd(all->file[i]);
		all->file[i] = -1;
	}
	return 0;
}

/* Those that the caller's user namespace owns first, then the user namespace, then those that only it may join. */
int op_JOIN_NAMESPACES(struct run *run, struct cursor *fields)
{
	struct namespaces all = {.count = 0};
	struct list kinds = take_numbers(fields), paths = take_list(fields);
	if (kinds.count != paths.count || kinds.count > NAMESPACES_LIMIT)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	int user = 0;
	for (u64 i = 0; i < kinds.count; i++)
		user |= NAMESPACE_OF(kinds, i) == CLONE_NEWUSER;
	int error = open_birthplace(run);
	error = error ? error : open_namespaces(run, &all, kinds, paths);
	if (!error && user) {
		error = join_pass(run, &all, 0, 1);
		error = error ? error : join_pass(run, &all, 1, 0);
	}
	error = error ? error : join_pass(run, &all, 0, 0);
	for (u64 i = 0; i < all.count; i++)
		close_fd(all.file[i]);
	return error;
}

int op_ENTER(struct run *run, struct cursor *fields)
{
	int pidfd = (int)take(fields);
	u64 flags = take(fields);
	u64 keep = take(fields);
	int error = open_birthplace(run);
	error = error ? error : (int)sys(setns, pidfd, flags);
	if (!keep)
		close_fd(pidfd);
	if (!error && flags & CLONE_NEWNS) {
		close_fd(run->root);
		run->root = -1;
		run->inside = 1;
	}
	return error;
}

/*
 * A new time namespace is one for children (time_namespaces(7)), and its clocks can be set until somebody is in it. We set
 * them, and then go in ourselves: so the namespace belongs to our user namespace, and no child is needed.
 */
int op_TIME_NAMESPACE(struct run *run, struct cursor *fields)
{
	struct bytes offsets = take_bytes(fields);
	int error = (int)sys(unshare, CLONE_NEWTIME_);
	if (!error && offsets.size) {
		error = write_file(AT_FDCWD_, "/proc/self/timens_offsets", offsets.data, offsets.size);
		if (error)
			return fail(run, error, DETAIL_TIME_OFFSETS);
	}
	int namespace = error ? error : open_path("/proc/self/ns/time_for_children", O_RDONLY);
	if (namespace < 0)
		return namespace;
	error = (int)sys(setns, namespace, CLONE_NEWTIME_);
	close_fd(namespace);
	return error;
}

int op_UNSHARE(struct run *run, struct cursor *fields)
{
	(void)run;
	return (int)sys(unshare, take(fields));
}

/*
 * The child is Python's child (CLONE_PARENT; its exit signal is then the one of this process, SIGCHLD). It has a copy of
 * this memory, so nothing it does can hurt the process that made it, and stage 1 can leave at once.
 */
int op_CLONE(struct run *run, struct cursor *fields)
{
	struct clone_args args = {.flags = take(fields) | CLONE_PARENT};
	int error = open_birthplace(run);
	if (error)
		return error;
	if (run->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (u64)run->cgroup;
	}
	long pid = sys(clone3, &args, sizeof args);
	if (pid > 0) {
		report(run, REPORT_CLONED, pid);
		await_deputy(run);
		leave(0);
	}
	run->born = 1;
	run->deputy_pid = 0;
	close_fd(run->cgroup);
	run->cgroup = -1;
	return (int)pid;
}

/*
 * The directory that all cgroups are in is held open: a walk through sysfs takes the lock that is held to write whenever a
 * network namespace is made or taken down, and there are two walks for each of up to thirteen hierarchies.
 */
static struct bytes common;

static void hold_common(struct run *run, struct list directories)
{
	static char path[PATH_LIMIT];
	if (!directories.count)
		return;
	common = (struct bytes){next_text(&directories.at), PATH_LIMIT - 1};
	for (u64 i = 0; i < directories.count; i++) {
		const char *other = i ? next_text(&directories.at) : common.data;
		size_t size = 0, slash = 0;
		for (; size < common.size && other[size] && other[size] == common.data[size]; size++)
			if (other[size] == '/')
				slash = size + 1;
		common.size = slash;
	}
	memcpy(path, common.data, common.size);
	path[common.size] = 0;
	run->host = open_path(path, O_PATH | O_DIRECTORY);
}

/* The descriptor that `path` is to be looked up from, and what is then left of it. */
int on_host(const struct run *run, const char **path)
{
	if (run->host < 0 || length(*path) <= common.size || memcmp(*path, common.data, common.size))
		return AT_FDCWD_;
	*path += common.size;
	return run->host;
}

/* "0" to `tasks`, not to cgroup.procs: a thread that moves itself needs no RCU grace period (4-14 ms). */
int op_JOIN_CGROUPS(struct run *run, struct cursor *fields)
{
	static char path[PATH_LIMIT];
	struct list directories = take_list(fields);
	hold_common(run, directories);
	for (u64 i = 0; i < directories.count; i++) {
		const char *name = next_text(&directories.at);
		int directory = on_host(run, &name), error = join_path(path, sizeof path, name, "tasks");
		if (!error)
			error = write_file(directory, path, "0", 1);
		if (error)
			return fail_value(run, error, DETAIL_OPEN_CGROUP, (s64)i);
	}
	return 0;
}

/* Opens the file that a line begins with, unless it is the one of the line before. */
static int open_named(int directory, const char *line, size_t size, const char *before, int file)
{
	char name[64];
	if (file >= 0 && !memcmp(line, before, size + 1))
		return file;
	close_fd(file);
	if (size >= sizeof name)
		return -ENAMETOOLONG;
	memcpy(name, line, size);
	name[size] = 0;
	return (int)sys(openat, directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
}

/* Each line is "FILE VALUE". */
int op_WRITE_CGROUP(struct run *run, struct cursor *fields)
{
	const char *path = take_text(fields), *before = "";
	int file = -1, from = on_host(run, &path);
	int directory = (int)sys(openat, from, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	struct list lines = take_list(fields);
	long error = 0;
	if (directory < 0)
		return fail(run, directory, DETAIL_OPEN_CGROUP);
	for (u64 i = 0; i < lines.count && error >= 0; i++) {
		const char *line = next_text(&lines.at);
		size_t size = 0;
		while (line[size] && line[size] != ' ')
			size++;
		file = line[size] ? open_named(directory, line, size, before, file) : -EINVAL;
		error = file < 0 ? file : sys(write, file, line + size + 1, length(line + size + 1));
		before = line;
		if (error < 0)
			fail_value(run, (int)error, DETAIL_NONE, (s64)i);
	}
	close_fd(file);
	close_fd(directory);
	return error < 0 ? (int)error : 0;
}

int op_BECOME_ROOT(struct run *run, struct cursor *fields)
{
	(void)run, (void)fields;
	int error = (int)sys(setgroups, 0, NULL);
	if (error && error != -EPERM) /* EPERM: setgroups is denied there, as rootless maps demand */
		return error;
	error = (int)sys(setresgid, 0, 0, 0);
	return error ? error : (int)sys(setresuid, 0, 0, 0);
}

int op_HOSTNAME(struct run *run, struct cursor *fields)
{
	(void)run;
	struct bytes name = take_bytes(fields);
	return (int)sys(sethostname, name.data, name.size);
}

int op_DOMAINNAME(struct run *run, struct cursor *fields)
{
	(void)run;
	struct bytes name = take_bytes(fields);
	return (int)sys(setdomainname, name.data, name.size);
}
