/*
 * Paths of the container. They are resolved by the kernel beneath the root's descriptor (openat2, RESOLVE_IN_ROOT: ".."
 * and absolute links stay inside; magic links are refused), and what is missing is made through descriptors of
 * directories that were resolved so. No path of the container is ever handed to the kernel as a string from "/"
 * (CVE-2021-30465, CVE-2024-45310, CVE-2025-31133, CVE-2026-41579).
 */
#include "init.h"
#include <linux/stat.h>

#define LINK_LIMIT 40	/* as many links as the kernel follows */
#define RACE_LIMIT 128	/* EAGAIN: somebody renames beneath the walk */

int root_of(struct run *run)
{
	if (run->root < 0) /* entered by setns: "/" is the container's root already */
		run->root = open_path("/", O_PATH | O_DIRECTORY);
	return run->root;
}

int open_in(int root, const char *path, u64 flags, u64 resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	long result;
	int tries = 0;
	do
		result = sys(openat2, root, *path ? path : "/", &how, sizeof how);
	while (result == -EAGAIN && ++tries < RACE_LIMIT);
	return (int)result;
}

int in_root(struct run *run, const char *path, u64 flags, u64 resolve)
{
	int root = root_of(run);
	run->beneath_parent = 0;
	return root < 0 ? root : open_in(root, path, flags, resolve);
}

/* Length of the part of `path` before its last component, and where that component begins; -EINVAL for "", "/", ".", "..". */
static int split(const char *path, size_t *parent, const char **name)
{
	size_t end = length(path);
	while (end && path[end - 1] == '/')
		end--;
	size_t begin = end;
	while (begin && path[begin - 1] != '/')
		begin--;
	*name = path + begin;
	*parent = begin;
	if (begin == end || (end - begin <= 2 && path[begin] == '.' && path[end - 1] == '.'))
		return -EINVAL;
	return 0;
}

struct walk {
	int root;
	u32 mode;
	int links;
	char path[PATH_LIMIT];
};

/* The missing component `begin`..`end` turned out to be a link: put its target in its place. */
static int splice_link(struct walk *walk, int directory, size_t begin, size_t end)
{
	static char target[PATH_LIMIT];
	char *path = walk->path, kept = path[end];
	path[end] = 0;
	long size = sys(readlinkat, directory, path + begin, target, sizeof target - 1);
	path[end] = kept;
	if (size < 0)
		return (int)size;
	if (++walk->links > LINK_LIMIT)
		return -ELOOP;
	size_t rest = length(path + end), from = *target == '/' ? 0 : begin;
	if (from + (size_t)size + rest + 1 > sizeof walk->path)
		return -ENAMETOOLONG;
	memmove(path + from + size, path + end, rest + 1);
	memcpy(path + from, target, (size_t)size);
	return 0;
}

/* One step down: make `name` if it is missing and open it. -ELOOP when it is a link. */
static int step(int directory, const char *name, u32 mode)
{
	struct stat status;
	long made = sys(mkdirat, directory, name, mode);
	if (made < 0 && made != -EEXIST)
		return (int)made;
	int next = (int)sys(openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (next < 0)
		return next;
	int error = status_of(next, &status);
	if (!error && (status.st_mode & S_IFMT) == S_IFLNK)
		error = -ELOOP;
	else if (!error && !is_directory(&status))
		error = -ENOTDIR;
	if (!error)
		return next;
	close_fd(next);
	return error;
}

/* Walks from `directory` (the resolved first `begin` bytes of the path) to the end; -EAGAIN after a link was spliced in. */
static int descend(struct walk *walk, int directory, size_t begin)
{
	char *path = walk->path;
	for (;;) {
		while (path[begin] == '/')
			begin++;
		size_t end = begin;
		while (path[end] && path[end] != '/')
			end++;
		if (begin == end)
			return directory;
		char kept = path[end];
		path[end] = 0;
		/* ".." of something that does not exist has no meaning that is worth guessing */
		int next = same(path + begin, "..") ? -ENOENT : step(directory, path + begin, walk->mode);
		path[end] = kept;
		if (next == -ELOOP) {
			int error = splice_link(walk, directory, begin, end);
			next = error ? error : -EAGAIN;
		}
		close_fd(directory);
		if (next < 0)
			return next;
		directory = next;
		begin = end;
	}
}

/* Opens the longest existing leading part of the path and says how long it is. */
static int open_existing(struct walk *walk, size_t *begin)
{
	char *path = walk->path;
	size_t end = length(path);
	for (;;) {
		while (end && path[end - 1] == '/')
			end--;
		while (end && path[end - 1] != '/')
			end--;
		char kept = path[end];
		path[end] = 0;
		int directory = open_in(walk->root, path, O_PATH | O_DIRECTORY, 0);
		path[end] = kept;
		if (directory != -ENOENT || !end) {
			*begin = end;
			return directory;
		}
	}
}

/* Makes the directory at `path` with all its parents (like mkdir -p inside the root), from the longest part that exists. */
static int make_way(struct run *run, const char *path, u32 mode)
{
	static struct walk walk;
	size_t size = length(path), begin = 0;
	int directory, rounds = 0;
	if (size >= sizeof walk.path)
		return -ENAMETOOLONG;
	walk.root = root_of(run);
	walk.mode = mode;
	walk.links = 0;
	memcpy(walk.path, path, size + 1);
	do {
		directory = open_existing(&walk, &begin);
		if (directory >= 0)
			directory = descend(&walk, directory, begin);
	} while (directory == -EAGAIN && ++rounds < RACE_LIMIT);
	return directory;
}

/*
 * The directory that was looked up last for what is in it stays open: nodes of /dev and the mounts on the hierarchies of
 * cgroups come in a row. It holds as long as nothing is done that could change where its path leads (run_plan, place).
 */
static char held[PATH_LIMIT];

static int is_held(const struct run *run, const char *path, size_t size)
{
	return run->parent >= 0 && size < sizeof held && !held[size] && !memcmp(held, path, size);
}

void let_go_of_parent(struct run *run)
{
	close_fd(run->parent);
	run->parent = -1;
}

/* The directory that holds the last component of `path` (made when missing), and that component. Not to be closed. */
int in_root_parent(struct run *run, const char *path, const char **name)
{
	size_t size;
	int error = split(path, &size, name);
	if (error || is_held(run, path, size))
		return error ? error : run->parent;
	if (size >= sizeof held)
		return -ENAMETOOLONG;
	let_go_of_parent(run);
	memcpy(held, path, size);
	held[size] = 0;
	return run->parent = in_root_directory(run, held, 0755);
}

/* The directory at `path`, made with all its parents when missing, as an O_PATH descriptor. */
int in_root_directory(struct run *run, const char *path, u32 mode)
{
	const char *name;
	size_t size;
	int is_plain = !split(path, &size, &name) && name[length(name) - 1] != '/', directory;
	if (is_plain && is_held(run, path, size)) {
		directory = (int)sys(openat, run->parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
		if (directory == -ENOENT)
			directory = step(run->parent, name, mode);
		run->beneath_parent = directory >= 0;
		if (directory >= 0)
			return directory; /* and if not, the long way says what is there: it follows links */
	}
	directory = in_root(run, path, O_PATH | O_DIRECTORY, 0);
	if (directory != -ENOENT)
		return directory;
	int parent = is_plain ? in_root_parent(run, path, &name) : -ELOOP;
	directory = parent < 0 ? parent : step(parent, name, mode);
	run->beneath_parent = directory >= 0;
	return directory == -ELOOP ? make_way(run, path, mode) : directory;
}

/* `path` with its last component replaced by the link `name` leads to, in `out`. */
static int follow_link(int directory, const char *path, const char *name, char *out)
{
	static char target[PATH_LIMIT];
	long size = sys(readlinkat, directory, name, target, sizeof target - 1);
	if (size < 0)
		return size == -EINVAL ? -ENOTDIR : (int)size;
	size_t kept = *target == '/' ? 0 : (size_t)(name - path);
	if (kept + (size_t)size + 1 > PATH_LIMIT)
		return -ENAMETOOLONG;
	memmove(out, path, kept);
	memcpy(out + kept, target, (size_t)size);
	out[kept + (size_t)size] = 0;
	return 0;
}

/* One try at making the file: its descriptor, or -ELOOP when a link is in its place and `next` says where that leads. */
static int make_file(struct run *run, const char *path, char *next)
{
	const char *name;
	struct stat status;
	int directory = in_root_parent(run, path, &name);
	if (directory < 0)
		return directory;
	long file = sys(mknodat, directory, name, S_IFREG | 0644, 0);
	if (file >= 0 || file == -EEXIST)
		file = sys(openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	int error = file < 0 ? (int)file : status_of((int)file, &status);
	if (!error && (status.st_mode & S_IFMT) == S_IFLNK) {
		error = follow_link(directory, path, name, next);
		error = error ? error : -ELOOP;
	}
	if (error && file >= 0)
		close_fd((int)file);
	return error ? error : (int)file;
}

/* What is at `path`, or a new empty file (also where a dangling link leads): a target for binds of anything but directories. */
int in_root_file(struct run *run, const char *path)
{
	static char next[PATH_LIMIT];
	int file = in_root(run, path, O_PATH, 0);
	for (int links = 0; file == -ENOENT && links < LINK_LIMIT; links++) {
		file = make_file(run, path, next);
		if (file != -ELOOP)
			return file;
		path = next;
		file = in_root(run, path, O_PATH, 0);
	}
	return file == -ENOENT ? -ELOOP : file;
}
