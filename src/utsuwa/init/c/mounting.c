/* Steps of the mount API (fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)) that the mount ops share. */
#include "init.h"
#include <linux/stat.h>

/* Not in the headers of the oldest supported build. */
#ifndef MOUNT_ATTR__ATIME
#define MOUNT_ATTR__ATIME 0x70
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x100000
#endif
#define AT_RECURSIVE_ 0x8000
#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

/* "key=value" or "flag" of a file system context. */
int fs_option(int fs, const char *option)
{
	char key[256];
	size_t size = 0;
	while (option[size] && option[size] != '=')
		size++;
	if (!option[size])
		return (int)sys(fsconfig, fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	if (size >= sizeof key)
		return -EINVAL;
	memcpy(key, option, size);
	key[size] = 0;
	return (int)sys(fsconfig, fs, FSCONFIG_SET_STRING, key, option + size + 1, 0);
}

/* Puts a mount that is attached nowhere on the file or directory behind a descriptor. */
int attach(int mount, int target)
{
	return (int)sys(move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int set_attributes(int mount, u64 set, u64 clear, u64 propagation, int recursive)
{
	struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	if (set & MOUNT_ATTR__ATIME) /* an enumeration: the kernel wants the old value cleared */
		attributes.attr_clr |= MOUNT_ATTR__ATIME;
	if (!attributes.attr_set && !attributes.attr_clr && !propagation)
		return 0;
	u64 flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0);
	return (int)sys(mount_setattr, mount, "", flags, &attributes, sizeof attributes);
}

/* `flags` as mount(2) has them: one of MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, with or without MS_REC; 0 for none. */
int set_propagation(int mount, u64 flags)
{
	return set_attributes(mount, 0, 0, flags & PROPAGATION, (flags & MS_REC) != 0);
}

/* Shows the files of a tree that is attached nowhere with the owners that a user namespace's maps make of theirs. */
int set_id_map(int mount, int user_namespace, int recursive)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (u64)user_namespace};
	u64 flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0);
	return (int)sys(mount_setattr, mount, "", flags, &attributes, sizeof attributes);
}

/* A copy of the mount (tree) at a path, attached nowhere; "" copies the one behind `directory`. */
int clone_tree(int directory, const char *path, int recursive)
{
	u64 flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE_ : 0) | (*path ? 0 : AT_EMPTY_PATH);
	return (int)sys(open_tree, directory, path, flags);
}
