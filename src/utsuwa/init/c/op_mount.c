/* File systems and binds inside the root. */
#include "init.h"
#include <linux/magic.h>
#include <linux/sched.h>
#include <linux/stat.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x200000
#endif
#define SOURCES_FROM 512
#define F_DUPFD_CLOEXEC_ 1030
#define WHOLE_ATTRIBUTES \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW)

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

/* The layers in `lowerdir`, each by itself (Linux 6.8): a value of fsconfig ends at 255 bytes, which two of them have. */
static int lower_layers(int fs, const char *list)
{
	char path[256];
	size_t used = 0;
	for (;; list++) {
		if (*list == ':' || !*list) {
			path[used] = 0;
			int error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir+", path, 0);
			if (error || !*list)
				return error;
			used = 0;
			continue;
		}
		if (*list == '\\' && list[1])
			list++;
		if (used + 1 >= sizeof path)
			return -E2BIG;
		path[used++] = *list;
	}
}

static int configure_one(int fs, const struct mount_fields *mount, const char *option)
{
	if (same(mount->fstype, "overlay") && starts(option, "lowerdir=") && !lower_layers(fs, option + 9))
		return 0;
	return fs_option(fs, option);
}

static int configure(struct run *run, int fs, const struct mount_fields *mount, s64 existing)
{
	struct list options = mount->options;
	int error = 0;
	/* the source that stands by is the host's directory: a name for nothing where the mount is a new one */
	const char *source = mount->flags & FLAG_MOUNT_FALLBACK_BIND ? mount->fstype : mount->source;
	if (*source)
		error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0);
	if (!error && existing >= 0 && mount->flags & FLAG_MOUNT_INHERIT_MODE)
		error = inherit_mode(fs, existing);
	if (error)
		return fail_value(run, error, DETAIL_FSCONFIG, -1);
	for (u64 i = 0; i < options.count; i++) {
		error = configure_one(fs, mount, next_text(&options.at));
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

static int place(struct run *run, int tree, int target, u64 propagation)
{
	int error = attach(tree, target);
	if (!run->beneath_parent)
		let_go_of_parent(run);
	if (error)
		return fail(run, error, DETAIL_MOVE_MOUNT);
	/* After attaching: a shared parent would make it shared again. */
	error = set_propagation(tree, propagation);
	return error ? fail(run, error, DETAIL_SET_PROPAGATION) : 0;
}

/* Fills the new mount if asked to, and puts it in its place. */
static int finish_mount(struct run *run, const struct mount_fields *mount, int tree, int target, s64 existing)
{
	int error = existing >= 0 && mount->flags & FLAG_MOUNT_COPY_UP ? copy_up(target, tree) : 0;
	return error ? fail(run, error, DETAIL_COPY_UP) : place(run, tree, target, mount->propagation);
}

/* A procfs that was made just now can take the sysctls: one more would have to be taken down again (an RCU grace period). */
static int serves_sysctls(const struct run *run, const struct mount_fields *mount)
{
	return run->new_proc < 0 && same(mount->fstype, "proc") && !mount->options.count &&
	       !(mount->flags & FLAG_MOUNT_FALLBACK_BIND) && !(mount->attributes & MOUNT_ATTR_RDONLY);
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
	int error = tree < 0 ? tree : finish_mount(run, &mount, tree, target, existing);
	if (!error && serves_sysctls(run, &mount))
		run->new_proc = tree;
	else
		close_fd(tree);
	close_fd(target);
	return error;
}

/*
 * Copies of trees whose way there may be closed to the root of the container's user namespace. They are made with the
 * caller's rights, and used only where BIND's own are not enough: a copy made in the container's mount namespace keeps the
 * locks that the kernel puts on mounts of a more privileged one (mount_namespaces(7)).
 */
int op_OPEN_SOURCES(struct run *run, struct cursor *fields)
{
	run->source_paths = take_list(fields);
	run->source_kinds = take_numbers(fields);
	if (run->source_paths.count != run->source_kinds.count)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	run->sources = arena(run->source_paths.count * sizeof *run->sources);
	if (!run->sources)
		return -ENOMEM;
	struct list paths = run->source_paths;
	for (u64 i = 0; i < paths.count; i++) {
		int tree = clone_tree(AT_FDCWD_, next_text(&paths.at), ((const u64 *)run->source_kinds.at)[i] != 0);
		/* or what is mounted in the container would show up on the host; what can't be opened is BIND's to complain about */
		if (tree >= 0 && set_propagation(tree, MS_SLAVE | MS_REC)) {
			close_fd(tree);
			tree = -EACCES;
		}
		/* a limit on descriptors may follow, and the low numbers are what it leaves */
		int high = tree < 0 ? tree : (int)sys(fcntl, tree, F_DUPFD_CLOEXEC_, SOURCES_FROM);
		if (high >= 0)
			close_fd(tree);
		run->sources[i] = high < 0 ? tree : high;
	}
	return 0;
}

void close_sources(struct run *run)
{
	for (u64 i = 0; i < run->source_paths.count; i++)
		close_fd(run->sources[i]);
	run->source_paths.count = 0;
}

/* The first copy of that tree; it can be attached only once. */
static int take_source(struct run *run, const char *path, int recursive)
{
	struct list paths = run->source_paths;
	for (u64 i = 0; i < paths.count; i++) {
		const char *other = next_text(&paths.at);
		size_t size = length(path);
		int tree = run->sources[i];
		if (tree < 0 || (((const u64 *)run->source_kinds.at)[i] != 0) != recursive)
			continue;
		if (length(other) != size || memcmp(other, path, size))
			continue;
		run->sources[i] = -1;
		return tree;
	}
	return -EACCES;
}

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

/*
 * A copy has the attributes of its source. With FLAG_BIND_WHOLE those that the options don't name are cleared, as mount(2)
 * with MS_REMOUNT does it, but for what is locked; what they do name must be had.
 */
static int bind_attributes(const struct bind_fields *bind, int tree)
{
	u64 unnamed = bind->flags & FLAG_BIND_WHOLE ? WHOLE_ATTRIBUTES & ~(bind->set | bind->clear) : 0;
	int error = set_attributes(tree, bind->set, bind->clear | unnamed, 0, 0);
	if (error != -EPERM || !unnamed)
		return error;
	error = set_attributes(tree, bind->set, bind->clear, 0, 0);
	for (u64 bit = 1; bit <= unnamed && !error; bit <<= 1)
		if (unnamed & bit)
			set_attributes(tree, 0, bit, 0, 0);
	return error;
}

static int finish_bind(struct run *run, const struct bind_fields *bind, int tree, int target)
{
	int error = bind_attributes(bind, tree);
	if (!error)
		error = set_attributes(tree, bind->rec_set, bind->rec_clear, 0, 1);
	if (error)
		return fail(run, error, DETAIL_SET_ATTRIBUTES);
	return place(run, tree, target, bind->propagation);
}

struct bind_fields take_bind(struct cursor *fields)
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
	bind.uid_map = take_bytes(fields);
	bind.gid_map = take_bytes(fields);
	bind.subdirectory = take_text(fields);
	return bind;
}

static int clone_in(int root, const struct bind_fields *bind)
{
	int inner = root < 0 ? root : open_in(root, bind->subdirectory, O_PATH, 0);
	if (inner < 0)
		return inner;
	int tree = clone_tree(inner, "", bind->recursive != 0);
	close_fd(inner);
	return tree;
}

/* A mount can be copied in its own mount namespace only: what another container has at a place is fetched from there. */
static int clone_from_namespace(const struct bind_fields *bind)
{
	int own = open_path("/proc/thread-self/ns/mnt", O_RDONLY), other = open_path(bind->source, O_RDONLY);
	int tree = own < 0 ? own : other < 0 ? other : (int)sys(setns, other, CLONE_NEWNS);
	if (!tree) {
		int root = open_path("/", O_PATH | O_DIRECTORY);
		tree = clone_in(root, bind);
		close_fd(root);
		int error = (int)sys(setns, own, CLONE_NEWNS);
		if (error) {
			close_fd(tree);
			tree = error;
		}
	}
	close_fd(own);
	close_fd(other);
	return tree;
}

/* Who writes to a volume may lay links into it at any moment: the way is looked up beneath the volume, and taken at once. */
static int clone_beneath(const struct bind_fields *bind)
{
	int source = open_path(bind->source, O_PATH | O_DIRECTORY);
	if (source == -ENOTDIR)
		return clone_from_namespace(bind);
	if (source < 0)
		return source;
	int tree = clone_in(source, bind);
	close_fd(source);
	return tree;
}

static int clone_source(struct run *run, const struct bind_fields *bind)
{
	if (*bind->subdirectory)
		return clone_beneath(bind);
	const char *source = bind->source;
	int directory = on_host(run, &source);
	int tree = clone_tree(directory, source, bind->recursive != 0);
	return tree == -EACCES ? take_source(run, bind->source, bind->recursive != 0) : tree;
}

int op_BIND(struct run *run, struct cursor *fields)
{
	struct bind_fields bind = take_bind(fields);
	if (!*bind.source)
		return fail(run, -ENOENT, DETAIL_OPEN_SOURCE);
	int tree = clone_source(run, &bind);
	if (tree < 0)
		return fail(run, tree, DETAIL_OPEN_SOURCE);
	int target = refuse_hidden_proc(run, bind_target(run, &bind, tree), bind.target);
	if (target < 0 && !run->detail)
		fail(run, target, DETAIL_OPEN_TARGET);
	int error = target < 0 ? target : 0;
	if (!error && bind.flags & FLAG_BIND_ID_MAP) /* only while it is attached nowhere can it get one */
		error = ask_deputy(run, tree);
	if (!error)
		error = finish_bind(run, &bind, tree, target);
	close_fd(target);
	close_fd(tree);
	return error;
}

/* New options of the file system itself: fspick(2) takes the mount's, fsconfig(2) changes it. */
static int reconfigure(struct run *run, int mount, struct list options)
{
	int fs = (int)sys(fspick, mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	if (fs < 0)
		return fail(run, fs, DETAIL_FSOPEN);
	int error = 0;
	for (u64 i = 0; i < options.count && !error; i++) {
		error = fs_option(fs, next_text(&options.at));
		if (error)
			fail_value(run, error, DETAIL_FSCONFIG, (s64)i);
	}
	if (!error) {
		error = (int)sys(fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
		if (error)
			fail_value(run, error, DETAIL_FSCONFIG, (s64)options.count);
	}
	close_fd(fs);
	return error;
}

int op_REMOUNT(struct run *run, struct cursor *fields)
{
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	u64 set = take(fields), clear = take(fields), flags = take(fields);
	struct list options = take_list(fields);
	int error = options.count ? reconfigure(run, target, options) : 0;
	if (!error)
		error = set_attributes(target, set, clear, 0, (flags & FLAG_REMOUNT_RECURSIVE) != 0);
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

int op_UNMOUNT(struct run *run, struct cursor *fields)
{
	char name[40] = "/proc/self/fd/", digits[21];
	int target = in_root(run, take_text(fields), O_PATH, 0);
	if (target < 0)
		return fail(run, target, DETAIL_OPEN_TARGET);
	const char *number = decimal((u64)target, digits + sizeof digits);
	memcpy(name + 14, number, length(number) + 1);
	int error = (int)sys(umount2, name, 2 /* MNT_DETACH */);
	close_fd(target);
	return error;
}
