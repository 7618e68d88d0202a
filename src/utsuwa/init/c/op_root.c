/* The container's root: mounting it, and making it "/". */
#include "init.h"
#include <linux/stat.h>

int op_ROOT_PROPAGATION(struct run *run, struct cursor *fields)
{
	u64 flags = take(fields);
	run->parents_private = (flags & MS_REC) && !(flags & MS_SHARED);
	return (int)sys(mount, NULL, "/", NULL, flags, NULL);
}

/*
 * pivot_root(2) refuses a new root whose parent mount is shared, and a mount on a shared one would show up on the host.
 * The mount a directory belongs to has its root somewhere above: the first ancestor that mount_setattr(2) takes for one.
 */
static int make_parent_private(const char *path)
{
	int directory = open_path(path, O_PATH | O_DIRECTORY), error = directory;
	while (directory >= 0) {
		struct stat here, above;
		error = set_propagation(directory, MS_PRIVATE);
		if (error != -EINVAL)
			break;
		int next = (int)sys(openat, directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		error = next < 0 ? next : status_of(directory, &here);
		if (!error)
			error = status_of(next, &above);
		if (!error && here.st_ino == above.st_ino && here.st_dev == above.st_dev)
			error = -EINVAL;
		close_fd(directory);
		directory = error ? -1 : next;
		if (error)
			close_fd(next);
	}
	close_fd(directory);
	return error;
}

/* Attaches the new root at a host directory and remembers it. */
static int adopt_root(struct run *run, int tree, const char *at)
{
	int error = 0;
	if (!run->parents_private) {
		error = make_parent_private(at);
		if (!error) /* the copy of a shared mount is shared, too, and pivot_root refuses that as well */
			error = set_propagation(tree, MS_PRIVATE);
		if (error)
			return fail(run, error, DETAIL_SET_PROPAGATION);
	}
	error = (int)sys(move_mount, tree, "", AT_FDCWD_, at, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
	if (error)
		return fail(run, error, DETAIL_MOVE_MOUNT);
	close_fd(run->root);
	run->root = tree;
	return 0;
}

int op_ROOT_BIND(struct run *run, struct cursor *fields)
{
	const char *source = take_text(fields);
	int tree = clone_tree(AT_FDCWD_, source, 1);
	if (tree < 0)
		return fail(run, tree, DETAIL_OPEN_SOURCE);
	int error = adopt_root(run, tree, source);
	if (error)
		close_fd(tree);
	return error;
}

struct overlay {
	const char *at, *upper, *work;
	struct list lower, options;
};

/* Every layer by itself (`lowerdir+`, Linux 6.8). 1: this kernel wants the classic way. */
static int configure_overlay(struct run *run, int fs, const struct overlay *overlay)
{
	struct list lower = overlay->lower, options = overlay->options;
	for (u64 i = 0; i < lower.count; i++) {
		int error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir+", next_text(&lower.at), 0);
		if (error)
			return 1;
	}
	int error = 0;
	if (*overlay->upper)
		error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "upperdir", overlay->upper, 0);
	if (!error && *overlay->upper)
		error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "workdir", overlay->work, 0);
	if (error)
		return 1; /* a value of fsconfig ends at 255 bytes */
	for (u64 i = 0; i < options.count; i++) {
		error = fs_option(fs, next_text(&options.at));
		if (error)
			return fail_value(run, error, DETAIL_FSCONFIG, (s64)i);
	}
	error = (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, "source", "overlay", 0);
	if (!error)
		error = (int)sys(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	return error ? fail_value(run, error, DETAIL_FSCONFIG, (s64)options.count) : 0;
}

struct text {
	size_t used;
	char data[PATH_LIMIT]; /* mount(2) takes one page */
};

/* Appends; with `escape`, colons and commas of a path don't end it. */
static int append(struct text *text, const char *more, int escape)
{
	for (; *more; more++) {
		if (text->used + 3 > sizeof text->data)
			return -E2BIG;
		if (escape && (*more == ':' || *more == '\\' || *more == ','))
			text->data[text->used++] = '\\';
		text->data[text->used++] = *more;
	}
	text->data[text->used] = 0;
	return 0;
}

/* The classic way, for kernels before 6.8 and for very long paths. */
static int mount_overlay(struct run *run, const struct overlay *overlay)
{
	static struct text text;
	struct list lower = overlay->lower, options = overlay->options;
	int error = append(&text, "lowerdir=", 0);
	for (u64 i = 0; i < lower.count && !error; i++) {
		error = i ? append(&text, ":", 0) : 0;
		error = error ? error : append(&text, next_text(&lower.at), 1);
	}
	if (*overlay->upper && !error) {
		error = append(&text, ",upperdir=", 0);
		error = error ? error : append(&text, overlay->upper, 1);
		error = error ? error : append(&text, ",workdir=", 0);
		error = error ? error : append(&text, overlay->work, 1);
	}
	for (u64 i = 0; i < options.count && !error; i++) {
		error = append(&text, ",", 0);
		error = error ? error : append(&text, next_text(&options.at), 0);
	}
	if (!error && !run->parents_private) {
		error = make_parent_private(overlay->at);
		if (error)
			return fail(run, error, DETAIL_SET_PROPAGATION);
	}
	if (!error)
		error = (int)sys(mount, "overlay", overlay->at, "overlay", 0, text.data);
	if (error)
		return fail_value(run, error, DETAIL_FSCONFIG, -1);
	run->root = open_path(overlay->at, O_PATH | O_DIRECTORY);
	return run->root < 0 ? run->root : 0;
}

int op_ROOT_OVERLAY(struct run *run, struct cursor *fields)
{
	struct overlay overlay;
	overlay.at = take_text(fields);
	overlay.lower = take_list(fields);
	overlay.upper = take_text(fields);
	overlay.work = take_text(fields);
	overlay.options = take_list(fields);
	int fs = (int)sys(fsopen, "overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(run, fs, DETAIL_FSOPEN);
	int error = configure_overlay(run, fs, &overlay), tree = -1;
	if (!error) {
		tree = (int)sys(fsmount, fs, FSMOUNT_CLOEXEC, 0);
		if (tree < 0)
			error = fail(run, tree, DETAIL_FSMOUNT);
	}
	close_fd(fs);
	if (error == 1)
		return mount_overlay(run, &overlay);
	if (!error)
		error = adopt_root(run, tree, overlay.at);
	if (error)
		close_fd(tree);
	return error;
}

/* What must be taken from the host before it is out of sight. */
static int before_leaving(struct run *run)
{
	if (run->root < 0)
		return -EBADF;
	return run->masks ? fetch_null(run) : 0;
}

int op_PIVOT(struct run *run, struct cursor *fields)
{
	(void)fields;
	int error = before_leaving(run), old = -1;
	if (error)
		return error;
	if (!run->parents_private) {
		old = open_path("/", O_PATH | O_DIRECTORY);
		if (old < 0)
			return old;
	}
	error = (int)sys(fchdir, run->root);
	if (!error) /* the old root ends up on top of the new one, so no directory is needed for it: pivot_root(2), notes */
		error = (int)sys(pivot_root, ".", ".");
	if (!error && old >= 0) /* or the unmount below would be repeated on the host */
		error = set_propagation(old, MS_SLAVE | MS_REC);
	if (!error)
		error = (int)sys(umount2, ".", 2 /* MNT_DETACH */);
	close_fd(old);
	if (!error)
		error = (int)sys(chdir, "/");
	run->inside = !error;
	return error;
}

/* "/a/b" of a line of mountinfo, with its octal escapes undone in place. */
static char *mount_point(char *line)
{
	for (int i = 0; i < 4; i++) {
		while (*line && *line != ' ')
			line++;
		if (*line)
			line++;
	}
	char *to = line, *from = line;
	while (*from && *from != ' ') {
		if (*from == '\\' && from[1] && from[2] && from[3]) {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
	return line;
}

static int is_kernel_view(const char *line)
{
	for (; *line; line++)
		if (starts(line, " - "))
			return starts(line + 3, "proc ") || starts(line + 3, "sysfs ");
	return 0;
}

/* The new root's path on the host with a slash at its end: what is mounted below is the container's own. */
static int root_path(struct run *run, char *out)
{
	char name[40] = "/proc/self/fd/", digits[21];
	const char *number = decimal((u64)run->root, digits + sizeof digits);
	memcpy(name + 14, number, length(number) + 1);
	long size = sys(readlinkat, AT_FDCWD_, name, out, PATH_LIMIT - 2);
	if (size < 0)
		return (int)size;
	memcpy(out + size, "/", 2);
	return 0;
}

/* Without pivot_root the host's procfs and sysfs stay reachable for a container that may mount: take them away first. */
static int cover_kernel_views(struct run *run)
{
	struct bytes text;
	static char link[PATH_LIMIT];
	int error = root_path(run, link);
	if (!error && !run->parents_private) /* or the host would lose them */
		error = (int)sys(mount, NULL, "/", NULL, MS_SLAVE | MS_REC, NULL);
	if (error)
		return error;
	int file = open_path("/proc/self/mountinfo", O_RDONLY);
	error = file < 0 ? file : read_whole(file, 1 << 20, &text);
	close_fd(file);
	if (error)
		return error;
	char *line = (char *)text.data;
	while (*line && !error) {
		char *end = line;
		while (*end && *end != '\n')
			end++;
		char *next = *end ? end + 1 : end;
		*end = 0;
		const char *point = is_kernel_view(line) ? mount_point(line) : NULL;
		if (point && !starts(point, link)) {
			/* locked in a user namespace: cover it; gone with one above it already: nothing to hide */
			if (sys(umount2, point, 2) < 0)
				error = (int)sys(mount, "none", point, "tmpfs", MS_RDONLY, "size=0k");
			if (error == -ENOENT || error == -ENOTDIR)
				error = 0;
		}
		line = next;
	}
	return error;
}

int op_MOVE_ROOT(struct run *run, struct cursor *fields)
{
	(void)fields;
	int error = before_leaving(run);
	if (!error)
		error = cover_kernel_views(run);
	if (!error)
		error = (int)sys(fchdir, run->root);
	if (!error)
		error = (int)sys(mount, ".", "/", NULL, MS_MOVE, NULL);
	if (!error)
		error = (int)sys(chroot, ".");
	if (!error)
		error = (int)sys(chdir, "/");
	run->inside = !error;
	return error;
}

/*
 * Without a mount namespace nothing may be mounted, or it would be mounted on the host. A read-only root is a copy of the
 * tree that is attached nowhere: it is gone with the last process in it.
 */
int op_CHROOT(struct run *run, struct cursor *fields)
{
	const char *path = take_text(fields);
	u64 read_only = take(fields);
	int root = read_only ? clone_tree(AT_FDCWD_, path, 1) : open_path(path, O_PATH | O_DIRECTORY);
	if (root < 0)
		return root;
	close_fd(run->root);
	run->root = root;
	int error = read_only ? set_attributes(root, MOUNT_ATTR_RDONLY, 0, 0, 0) : 0;
	if (!error)
		error = (int)sys(fchdir, root);
	if (!error)
		error = (int)sys(chroot, ".");
	run->inside = !error;
	return error;
}
