/* File systems and binds inside the root. */
#include "init.h"
#include <linux/magic.h>
#include <linux/stat.h>

struct mount_fields {
	const char *fstype, *source, *target;
	struct list options;
	u64 attributes, propagation, flags;
};

static int ordinary_directory(struct run *run, const char *path)
{
	int target = in_root(run, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (target == -ENOENT) {
		target = in_root_directory(run, path, 0755);
		if (target < 0)
			return target;
		close_fd(target);
		target = in_root(run, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	}
	/* A link here would send the writes to /proc and the masks elsewhere (CVE-2019-19921, CVE-2023-28642). */
	if (target == -ELOOP || target == -ENOTDIR)
		fail(run, 0, DETAIL_NOT_A_DIRECTORY);
	return target;
}

/* A link of the image that leads into procfs: what is mounted there would feign files that others trust (CVE-2019-16884). */
static int refuse_hidden_proc(struct run *run, int target, const char *path)
{
	int is_named = same(path, "/proc") || starts(path, "/proc/");
	if (target < 0 || is_named || !magic_is(target, PROC_SUPER_MAGIC))
		return target;
	close_fd(target);
	return fail(run, -ELOOP, DETAIL_NOT_A_DIRECTORY);
}

/* The directory to mount on; `existing` gets its mode, or -1 when it had to be made. */
static int open_target(struct run *run, const struct mount_fields *mount, s64 *existing)
{
	struct stat status;
	int target, error;
	*existing = -1;
	if (mount->flags & FLAG_MOUNT_ORDINARY_DIRECTORY)
		return ordinary_directory(run, mount->target);
	if (!(mount->flags & (FLAG_MOUNT_COPY_UP | FLAG_MOUNT_INHERIT_MODE)))
		return in_root_directory(run, mount->target, 0755);
	target = in_root(run, mount->target, O_PATH | O_DIRECTORY, 0);
	if (target == -ENOENT)
		return in_root_directory(run, mount->target, 0755);
	error = target < 0 ? target : status_of(target, &status);
	if (error) {
		close_fd(target);
		return error;
	}
	*existing = status.st_mode & 07777;
	return target;
}

static int inherit_mode(int fs, s64 mode)
{
	char text[] = "mode=0000";
	for (int i = 8; i > 4; i--, mode >>= 3)
		text[i] = (char)('0' + (mode & 7));
	return fs_option(fs, text);
}

static int configure(struct run *run, int fs, const struct mount_fields *mount, s64 existing)
{
	struct list options = mount->options;
	int error = 0;
	if (*mount->source)
		error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "source", mount->source, 0);
	if (!error && existing >= 0 && mount->flags & FLAG_MOUNT_INHERIT_MODE)
		error = inherit_mode(fs, existing);
	if (error)
		return fail_value(run, error, DETAIL_FSCONFIG, -1);
	for (u64 i = 0; i < options.count; i++) {
		error = fs_option(fs, next_text(&options.at));
		if (error)
			return fail_value(run, error, DETAIL_FSCONFIG, (s64)i);
	}
	error = (int)sys(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return error ? fail_value(run, error, DETAIL_FSCONFIG, (s64)options.count) : 0;
}

/* A new mount, attached nowhere. */
static int make_mount(struct run *run, const struct mount_fields *mount, s64 existing)
{
	int fs = (int)sys(fsopen, mount->fstype, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(run, fs, DETAIL_FSOPEN);
	int result = configure(run, fs, mount, existing);
	if (!result) {
		result = (int)sys(fsmount, fs, FSMOUNT_CLOEXEC, mount->attributes);
		if (result < 0)
			fail(run, 0, DETAIL_FSMOUNT);
	}
	close_fd(fs);
	return result;
}

/* What a user namespace may not mount anew, it may still take over from the host, with all its restrictions. */
static int bind_instead(struct run *run, const struct mount_fields *mount)
{
	int tree = clone_tree(AT_FDCWD_, mount->source, 1);
	if (tree < 0)
		return fail(run, tree, DETAIL_OPEN_SOURCE);
	int error = set_attributes(tree, mount->attributes, 0, 0, 1);
	if (!error)
		return tree;
	close_fd(tree);
	return fail(run, error, DETAIL_SET_ATTRIBUTES);
}

/* Fills the new mount if asked to, and puts it in its place. */
static int place(struct run *run, const struct mount_fields *mount, int tree, int target, s64 existing)
{
	int error;
	if (existing >= 0 && mount->flags & FLAG_MOUNT_COPY_UP) {
		error = copy_up(target, tree);
		if (error)
			return fail(run, error, DETAIL_COPY_UP);
	}
	error = attach(tree, target);
	if (error)
		return fail(run, error, DETAIL_MOVE_MOUNT);
	/* After attaching: a shared parent would make it shared again. */
	error = set_propagation(tree, mount->propagation);
	return error ? fail(run, error, DETAIL_SET_PROPAGATION) : 0;
}

int op_MOUNT(struct run *run, struct cursor *fields)
{
	struct mount_fields mount;
	s64 existing;
	mount.fstype = take_text(fields);
	mount.source = take_text(fields);
	mount.target = take_text(fields);
	mount.options = take_list(fields);
	mount.attributes = take(fields);
	mount.propagation = take(fields);
	mount.flags = take(fields);
	int target = refuse_hidden_proc(run, open_target(run, &mount, &existing), mount.target);
	if (target < 0)
		return run->detail ? target : fail(run, target, DETAIL_OPEN_TARGET);
	int tree = make_mount(run, &mount, existing);
	if (tree == -EPERM && mount.flags & FLAG_MOUNT_FALLBACK_BIND)
		tree = bind_instead(run, &mount);
	int error = tree < 0 ? tree : place(run, &mount, tree, target, existing);
	close_fd(tree);
	close_fd(target);
	return error;
}

struct bind_fields {
	const char *source, *target;
	u64 recursive, set, clear, rec_set, rec_clear, propagation, flags;
};

static int bind_target(struct run *run, const struct bind_fields *bind, int tree)
{
	struct stat status;
	int error = status_of(tree, &status);
	if (error)
		return error;
	if (bind->flags & FLAG_BIND_NO_FOLLOW) {
		int target = in_root(run, bind->target, O_PATH, RESOLVE_NO_SYMLINKS);
		if (target != -ENOENT)
			return target;
	}
	return is_directory(&status) ? in_root_directory(run, bind->target, 0755) : in_root_file(run, bind->target);
}

static int finish_bind(struct run *run, const struct bind_fields *bind, int tree, int target)
{
	/* Only the named bits change, so what is locked on the source stays as it is. */
	int error = set_attributes(tree, bind->set, bind->clear, 0, 0);
	if (!error)
		error = set_attributes(tree, bind->rec_set, bind->rec_clear, 0, 1);
	if (error)
		return fail(run, error, DETAIL_SET_ATTRIBUTES);
	error = attach(tree, target);
	if (error)
		return fail(run, error, DETAIL_MOVE_MOUNT);
	error = set_propagation(tree, bind->propagation);
	return error ? fail(run, error, DETAIL_SET_PROPAGATION) : 0;
}

int op_BIND(struct run *run, struct cursor *fields)
{
	struct bind_fields bind;
	bind.source = take_text(fields);
	bind.target = take_text(fields);
	bind.recursive = take(fields);
	bind.set = take(fields);
	bind.clear = take(fields);
	bind.rec_set = take(fields);
	bind.rec_clear = take(fields);
	bind.propagation = take(fields);
	bind.flags = take(fields);
	if (!*bind.source)
		return fail(run, -ENOENT, DETAIL_OPEN_SOURCE);
	int tree = clone_tree(AT_FDCWD_, bind.source, bind.recursive != 0);
	if (tree < 0)
		return fail(run, tree, DETAIL_OPEN_SOURCE);
	int target = refuse_hidden_proc(run, bind_target(run, &bind, tree), bind.target);
	if (target < 0 && !run->detail)
		fail(run, target, DETAIL_OPEN_TARGET);
	int error = target < 0 ? target : finish_bind(run, &bind, tree, target);
	close_fd(target);
	close_fd(tree);
	return error;
}

int op_REMOUNT(struct run *run, struct cursor *fields)
{
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	u64 set = take(fields), clear = take(fields), flags = take(fields);
	int error = set_attributes(target, set, clear, 0, (flags & FLAG_REMOUNT_RECURSIVE) != 0);
	close_fd(target);
	return error;
}

int op_PROPAGATE(struct run *run, struct cursor *fields)
{
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	int error = set_propagation(target, take(fields));
	close_fd(target);
	return error;
}
