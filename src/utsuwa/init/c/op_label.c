/* Labels of the security modules AppArmor and SELinux: files below /proc/thread-self/attr, and attributes of files. */
#include "init.h"

#define NAME_LIMIT 128

/*
 * The first of the files that is there gets the value. It is found through a procfs that nothing inside has prepared, without
 * crossing into what may be mounted over a part of it: a label that is written elsewhere is a container without confinement
 * (CVE-2019-16884, CVE-2025-52881).
 */
int op_LABEL(struct run *run, struct cursor *fields)
{
	static char path[NAME_LIMIT];
	struct list files = take_list(fields);
	struct bytes value = take_bytes(fields);
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
	};
	int proc = procfs_of(run), file = -ENOENT;
	if (proc < 0)
		return proc;
	for (u64 i = 0; i < files.count && file == -ENOENT; i++) {
		int error = join_path(path, sizeof path, "thread-self/attr", next_text(&files.at));
		if (error)
			return error;
		run->value = (s64)i;
		file = (int)sys(openat2, proc, path, &how, sizeof how);
	}
	if (file < 0)
		return file;
	long written = sys(write, file, value.data, value.size);
	close_fd(file);
	return written < 0 ? (int)written : 0;
}

int op_XATTR(struct run *run, struct cursor *fields)
{
	int file = in_root(run, take_text(fields), O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	const char *name = take_text(fields);
	struct bytes value = take_bytes(fields);
	if (file < 0)
		return fail(run, file, DETAIL_OPEN_TARGET);
	int error = (int)sys(fsetxattr, file, name, value.data, value.size, 0);
	close_fd(file);
	return error;
}
