/* tmpcopyup: the content of the directory below goes into the tmpfs that will cover it. */
#include "init.h"
#include <linux/stat.h>

#define DEPTH_LIMIT 128

struct entry {
	u64 inode;
	s64 offset;
	unsigned short size;
	u8 type;
	char name[];
};

static int copy_tree(int from, int to, int depth);

static int copy_content(int from, int to)
{
	long count;
	do /* a tmpfs takes at most 2 GiB per call */
		count = sys(sendfile, to, from, NULL, 0x7ffff000);
	while (count > 0);
	return (int)count;
}

static int copy_owner(int to, const char *name, const struct stat *status)
{
	return (int)sys(fchownat, to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_file(int from, int to, const char *name, const struct stat *status)
{
	int source = (int)sys(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (source < 0)
		return source;
	int target = (int)sys(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int error = target < 0 ? target : copy_content(source, target);
	if (!error)
		error = copy_owner(to, name, status);
	if (!error) /* after the owner: chown clears the set-id bits */
		error = (int)sys(fchmod, target, status->st_mode & 07777);
	close_fd(target);
	close_fd(source);
	return error;
}

static int copy_directory(int from, int to, const char *name, const struct stat *status, int depth)
{
	int source = (int)sys(openat, from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (source < 0)
		return source;
	int error = (int)sys(mkdirat, to, name, 0700);
	int target = error ? error : (int)sys(openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	error = target < 0 ? target : copy_tree(source, target, depth + 1);
	if (!error)
		error = copy_owner(to, name, status);
	if (!error)
		error = (int)sys(fchmod, target, status->st_mode & 07777);
	if (target >= 0)
		close_fd(target);
	close_fd(source);
	return error;
}

static int copy_link(int from, int to, const char *name, const struct stat *status)
{
	static char target[PATH_LIMIT];
	long size = sys(readlinkat, from, name, target, sizeof target - 1);
	if (size < 0)
		return (int)size;
	target[size] = 0;
	int error = (int)sys(symlinkat, target, to, name);
	return error ? error : copy_owner(to, name, status);
}

static int copy_entry(int from, int to, const char *name, int depth)
{
	struct stat status;
	if (same(name, ".") || same(name, ".."))
		return 0;
	int error = (int)sys(newfstatat, from, name, &status, AT_SYMLINK_NOFOLLOW);
	if (error)
		return error;
	switch (status.st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(from, to, name, &status);
	case S_IFDIR:
		return depth < DEPTH_LIMIT ? copy_directory(from, to, name, &status, depth) : -ELOOP;
	case S_IFLNK:
		return copy_link(from, to, name, &status);
	}
	error = (int)sys(mknodat, to, name, status.st_mode, status.st_rdev);
	return error ? error : copy_owner(to, name, &status);
}

static int copy_tree(int from, int to, int depth)
{
	u8 buffer[2048] __attribute__((aligned(8)));
	for (;;) {
		long size = sys(getdents64, from, buffer, sizeof buffer);
		if (size <= 0)
			return (int)size;
		for (long at = 0; at < size;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			int error = copy_entry(from, to, entry->name, depth);
			if (error)
				return error;
			at += entry->size;
		}
	}
}

/* `from` may be an O_PATH descriptor of the directory; `to` is the root of the mount that is attached nowhere yet. */
int copy_up(int from, int to)
{
	struct stat status;
	int source = (int)sys(openat, from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (source < 0)
		return source;
	int error = status_of(source, &status);
	if (!error)
		error = (int)sys(fchownat, to, "", status.st_uid, status.st_gid, AT_EMPTY_PATH);
	if (!error)
		error = copy_tree(source, to, 0);
	close_fd(source);
	return error;
}
