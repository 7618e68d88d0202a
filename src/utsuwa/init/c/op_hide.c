/* Masked and read-only paths, and the procfs for sysctls and labels. */
#include "init.h"
#include <linux/magic.h>
#include <linux/stat.h>

#define NULL_DEVICE 0x103 /* 1:3 */

/*
 * The null device that masks files is the host's, taken while the host is in view and verified by the mount that is then
 * used. The container's /dev/null is never asked: it may be a link to anything (CVE-2025-31133, CVE-2026-88265).
 */
int fetch_null(struct run *run)
{
	struct stat status;
	if (run->null >= 0)
		return 0;
	int tree = clone_tree(AT_FDCWD_, "/dev/null", 0);
	if (tree < 0)
		return fail(run, tree, DETAIL_NOT_NULL_DEVICE);
	int error = status_of(tree, &status);
	if (!error && ((status.st_mode & S_IFMT) != S_IFCHR || status.st_rdev != NULL_DEVICE))
		error = -EINVAL;
	if (!error) /* or chmod and chown of a masked file would change the host's node; a device can be written all the same */
		error = set_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0, 0);
	if (error) {
		close_fd(tree);
		return fail(run, error, DETAIL_NOT_NULL_DEVICE);
	}
	run->null = tree;
	return 0;
}

static int make_empty(struct run *run)
{
	int fs = (int)sys(fsopen, "tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(run, fs, DETAIL_FSOPEN);
	int error = fs_option(fs, "mode=0755");
	error = error ? error : fs_option(fs, "nr_inodes=1");
	error = error ? error : (int)sys(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	int tree = error ? error : (int)sys(fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
								       MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	close_fd(fs);
	if (tree < 0)
		return fail(run, tree, DETAIL_FSMOUNT);
	run->empty = tree;
	return 0;
}

/* The first use attaches the mount itself; only then is it in our namespace, and can be copied for the next. */
static int cover(struct run *run, int tree, int *used, int target)
{
	int mount = *used ? clone_tree(tree, "", 0) : tree;
	if (mount < 0)
		return fail(run, mount, DETAIL_OPEN_SOURCE);
	int error = attach(mount, target);
	if (mount != tree)
		close_fd(mount);
	if (error)
		return fail(run, error, DETAIL_MOVE_MOUNT);
	*used = 1;
	return 0;
}

int op_MASK(struct run *run, struct cursor *fields)
{
	struct stat status;
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	int error = status_of(target, &status);
	if (!error && is_directory(&status)) {
		error = run->empty < 0 ? make_empty(run) : 0;
		error = error ? error : cover(run, run->empty, &run->empty_used, target);
	} else if (!error) {
		if (run->null < 0)
			error = run->inside ? fail(run, -ENOENT, DETAIL_NOT_NULL_DEVICE) : fetch_null(run);
		error = error ? error : cover(run, run->null, &run->null_used, target);
	}
	close_fd(target);
	return error;
}

int op_READONLY(struct run *run, struct cursor *fields)
{
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	int tree = clone_tree(target, "", 1);
	int error = tree < 0 ? fail(run, tree, DETAIL_OPEN_SOURCE) : set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, 1);
	if (!error) {
		error = attach(tree, target);
		if (error)
			fail(run, 0, DETAIL_MOVE_MOUNT);
	}
	close_fd(tree);
	close_fd(target);
	return error;
}

/* A procfs of our own; in a user namespace whose /proc is covered the kernel refuses that, and the container's is verified. */
static int private_proc(struct run *run)
{
	struct stat status;
	int fs = (int)sys(fsopen, "proc", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(run, fs, DETAIL_FSOPEN);
	int error = (int)sys(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	int proc = error ? error : (int)sys(fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	close_fd(fs);
	if (proc == -EPERM) {
		proc = in_root(run, "proc", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
		error = proc < 0 ? proc : status_of(proc, &status);
		if (!error && (!magic_is(proc, PROC_SUPER_MAGIC) || status.st_ino != 1))
			error = fail(run, -EPERM, DETAIL_NOT_PROCFS);
		if (error && proc >= 0)
			close_fd(proc);
		proc = error ? error : proc;
	}
	return proc;
}

/* The descriptor of that procfs, which stays open for the next who needs it. */
int procfs_of(struct run *run)
{
	if (run->proc < 0)
		run->proc = private_proc(run);
	return run->proc;
}

/* Nothing mounted over a part of the path may catch the write (CVE-2025-52881): a procfs that has such a mount won't do. */
static int open_sysctl(struct run *run, const char *path)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	int file = run->new_proc < 0 ? -EXDEV : (int)sys(openat2, run->new_proc, path, &how, sizeof how);
	if (file == -EXDEV) {
		int proc = procfs_of(run);
		if (proc < 0)
			return proc;
		file = (int)sys(openat2, proc, path, &how, sizeof how);
	}
	return file < 0 ? fail(run, file, DETAIL_OPEN_TARGET) : file;
}

int op_SYSCTL(struct run *run, struct cursor *fields)
{
	static char path[PATH_LIMIT];
	const char *key = take_text(fields);
	struct bytes value = take_bytes(fields);
	int error = join_path(path, sizeof path, "sys", key);
	if (error)
		return error;
	int file = open_sysctl(run, path);
	if (file < 0)
		return file;
	long written = sys(write, file, value.data, value.size);
	close_fd(file);
	return written < 0 ? (int)written : 0;
}
