/* Nodes, links and directories inside the root. */
#include "init.h"
#include <linux/stat.h>

#define MAJOR(device) (((device) >> 8 & 0xfff) | ((device) >> 32 & ~0xfffUL))
#define MINOR(device) (((device) & 0xff) | ((device) >> 12 & ~0xffUL))

struct node {
	const char *path;
	u32 mode;
	u64 major, minor;
	u32 uid, gid;
};

static u64 device_number(const struct node *node)
{
	return (node->minor & 0xff) | (node->major & 0xfff) << 8 | (node->minor & ~0xffUL) << 12;
}

/* Permissions through the descriptor: fchmodat2 (Linux 6.6), else /proc/self/fd of the host. */
static int change_mode(struct run *run, int node, u32 mode)
{
	int error = (int)sys(fchmodat2, node, "", mode, AT_EMPTY_PATH);
	if (error != -ENOSYS || run->inside)
		return error;
	char name[40] = "/proc/self/fd/", digits[21];
	const char *number = decimal((u64)node, digits + sizeof digits);
	memcpy(name + 14, number, length(number) + 1);
	return (int)sys(fchmodat, AT_FDCWD_, name, mode);
}

/* Something is there already: good only if it is that very device, by the descriptor that is then changed. */
static int adopt_node(struct run *run, int directory, const char *name, const struct node *node)
{
	struct stat status;
	int found = (int)sys(openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (found < 0)
		return found;
	int error = status_of(found, &status);
	u32 kind = node->mode & S_IFMT;
	if (!error && ((status.st_mode & S_IFMT) != kind ||
		       (kind != S_IFIFO && (MAJOR(status.st_rdev) != node->major || MINOR(status.st_rdev) != node->minor))))
		error = fail(run, -EEXIST, DETAIL_NOT_THAT_DEVICE);
	if (!error && (status.st_uid != node->uid || status.st_gid != node->gid))
		error = (int)sys(fchownat, found, "", node->uid, node->gid, AT_EMPTY_PATH);
	if (!error && (status.st_mode & 07777) != (node->mode & 07777))
		error = change_mode(run, found, node->mode & 07777);
	close_fd(found);
	return error;
}

int op_MKNOD(struct run *run, struct cursor *fields)
{
	struct node node;
	const char *name;
	node.path = take_text(fields);
	node.mode = (u32)take(fields);
	node.major = take(fields);
	node.minor = take(fields);
	node.uid = (u32)take(fields);
	node.gid = (u32)take(fields);
	int directory = in_root_parent(run, node.path, &name);
	if (directory < 0)
		return fail(run, directory, DETAIL_OPEN_TARGET);
	u64 device = (node.mode & S_IFMT) == S_IFIFO ? 0 : device_number(&node);
	int error = (int)sys(mknodat, directory, name, node.mode, device);
	if (error == -EEXIST || (!error && (node.uid || node.gid)))
		error = adopt_node(run, directory, name, &node);
	return error;
}

static int links_to(int directory, const char *name, const struct bytes *target)
{
	static char text[PATH_LIMIT];
	long size = sys(readlinkat, directory, name, text, sizeof text);
	return size >= 0 && (u64)size == target->size && !memcmp(text, target->data, target->size);
}

int op_SYMLINK(struct run *run, struct cursor *fields)
{
	struct bytes target = take_bytes(fields);
	const char *path = take_text(fields), *name;
	u64 replace = take(fields);
	int directory = in_root_parent(run, path, &name);
	if (directory < 0)
		return fail(run, directory, DETAIL_OPEN_TARGET);
	int error = (int)sys(symlinkat, target.data, directory, name);
	if (error == -EEXIST && links_to(directory, name, &target))
		error = 0;
	if (error == -EEXIST && replace) {
		error = (int)sys(unlinkat, directory, name, 0);
		if (!error || error == -ENOENT)
			error = (int)sys(symlinkat, target.data, directory, name);
	}
	return error;
}

int op_MKDIR(struct run *run, struct cursor *fields)
{
	const char *path = take_text(fields);
	int directory = in_root_directory(run, path, (u32)take(fields));
	return directory < 0 ? directory : close_fd(directory);
}

#define NULL_DEVICE 0x103 /* 1:3 */

static int is_null_device(int descriptor)
{
	struct stat status;
	return !status_of(descriptor, &status) && (status.st_mode & S_IFMT) == S_IFCHR && status.st_rdev == NULL_DEVICE;
}

/*
 * The host's /dev/null as a standard stream would be the container's to chmod and chown, and a file that CRIU does not
 * find in the container. What is at /dev/null inside is taken only when it is the same device; it is never followed.
 */
int op_REOPEN_NULL(struct run *run, struct cursor *fields)
{
	(void)fields;
	int null = -1, error = 0;
	for (int stream = 0; stream < 3 && !error; stream++) {
		if (!is_null_device(stream))
			continue;
		if (null < 0) {
			null = in_root(run, "/dev/null", O_RDWR | O_NONBLOCK, RESOLVE_NO_SYMLINKS);
			if (null < 0) /* none to be had: the host's has to do */
				return 0;
			if (!is_null_device(null))
				break;
			sys(fcntl, null, F_SETFL, O_RDWR);
		}
		long result = sys(dup3, null, stream, 0);
		error = result < 0 ? (int)result : 0;
	}
	close_fd(null);
	return error;
}
