/* tmpcopyup: the content of the directory below goes into the tmpfs that will cover it. */
#include "init.h"
#include <linux/stat.h>

#define DEPTH_LIMIT 128
#define ATTRIBUTE_LIMIT 65536 /* XATTR_SIZE_MAX */
#define COPY_LIMIT 0x7ffff000
#define SEEK_SET_ 0
#define SEEK_DATA_ 3
#define SEEK_HOLE_ 4

struct entry {
	u64 inode;
	s64 offset;
	unsigned short size;
	u8 type;
	char name[];
};

static int copy_tree(int from, int to, int depth);

/* From one place to another, as much as a call may take of it: a tmpfs takes at most 2 GiB. */
static int copy_range(int from, int to, s64 at, s64 end)
{
	long count = sys(lseek, to, at, SEEK_SET_);
	while (count >= 0 && at < end) {
		count = sys(sendfile, to, from, &at, end - at < COPY_LIMIT ? end - at : COPY_LIMIT);
		if (!count)
			break; /* it has become shorter meanwhile */
	}
	return count < 0 ? (int)count : 0;
}

/* Data alone: what is a hole there takes no memory here. */
static int copy_content(int from, int to, s64 size)
{
	s64 at = 0;
	int error = 0;
	while (at < size && !error) {
		s64 data = sys(lseek, from, at, SEEK_DATA_);
		if (data == -ENXIO)
			break;
		if (data < 0) /* a file system that knows no holes */
			data = at;
		s64 hole = sys(lseek, from, data, SEEK_HOLE_);
		if (hole < 0)
			hole = size;
		error = copy_range(from, to, data, hole);
		at = hole;
	}
	return error ? error : (int)sys(ftruncate, to, size);
}

static int copy_attribute(int from, int to, const char *name)
{
	static u8 value[ATTRIBUTE_LIMIT];
	long size = sys(fgetxattr, from, name, value, sizeof value);
	if (size < 0)
		return (int)size;
	return (int)sys(fsetxattr, to, name, value, size, 0);
}

/* Extended attributes, but for those that a tmpfs can't hold or that we may not set. */
static int copy_attributes(int from, int to)
{
	char names[2048];
	long size = sys(flistxattr, from, names, sizeof names);
	if (size < 0)
		return size == -EOPNOTSUPP ? 0 : (int)size;
	for (const char *name = names; name < names + size; name += length(name) + 1) {
		int error = copy_attribute(from, to, name);
		if (error < 0 && error != -EOPNOTSUPP && error != -EPERM && error != -ENODATA)
			return error;
	}
	return 0;
}

/* What a file has besides its content; the mode after the owner: chown clears the set-id bits, and capabilities. */
static int copy_rest(int from, int to, const struct stat *status)
{
	u64 times[4] = {status->st_atime, status->st_atime_nsec, status->st_mtime, status->st_mtime_nsec};
	int error = (int)sys(fchown, to, status->st_uid, status->st_gid);
	if (!error)
		error = (int)sys(fchmod, to, status->st_mode & 07777);
	if (!error)
		error = copy_attributes(from, to);
	return error ? error : (int)sys(utimensat, to, NULL, times, 0);
}

static int copy_owner(int to, const char *name, const struct stat *status)
{
	return (int)sys(fchownat, to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW);
}

/* The name may mean something else by now, a disk for one: what counts is what has been opened. */
static int open_file(int from, const char *name, struct stat *status)
{
	int source = (int)sys(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	int error = source < 0 ? source : status_of(source, status);
	if (!error && (status->st_mode & S_IFMT) != S_IFREG)
		error = -ESTALE;
	if (!error)
		return source;
	close_fd(source);
	return error;
}

static int copy_file(int from, int to, const char *name)
{
	struct stat status;
	int source = open_file(from, name, &status);
	if (source < 0)
		return source;
	int target = (int)sys(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int error = target < 0 ? target : copy_content(source, target, status.st_size);
	if (!error)
		error = copy_rest(source, target, &status);
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
		error = copy_rest(source, target, status);
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
		return copy_file(from, to, name);
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
	int target = (int)sys(openat, to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	int error = target < 0 ? target : status_of(source, &status);
	if (!error) /* its mode is an option of the mount */
		error = (int)sys(fchown, target, status.st_uid, status.st_gid);
	if (!error)
		error = copy_tree(source, target, 0);
	if (!error)
		error = copy_attributes(source, target);
	close_fd(target);
	close_fd(source);
	return error;
}
