/* User, groups, umask, capabilities. */
#include "init.h"
#include <linux/capability.h>
#include <linux/prctl.h>

static int set_groups(struct run *run, struct list groups, u32 gid)
{
	u64 count = groups.count + (run->user.known ? run->user.group_count : 0);
	u32 *all = arena((count + 1) * sizeof *all);
	if (!all)
		return -ENOMEM;
	u64 used = 0;
	if (run->user.known)
		for (u64 i = 0; i < run->user.group_count; i++)
			all[used++] = run->user.groups[i];
	for (u64 i = 0; i < groups.count; i++)
		all[used++] = (u32)((const u64 *)groups.at)[i];
	int error = (int)sys(setgroups, used, all);
	/* where setgroups is denied (rootless) none can be had: fine when none is wanted that the process has not anyway */
	for (u64 i = 0; i < used; i++)
		if (all[i] != gid)
			return error;
	return error == -EPERM ? 0 : error;
}

int op_SET_IDENTITY(struct run *run, struct cursor *fields)
{
	u32 uid = (u32)take(fields), gid = (u32)take(fields);
	struct list groups = take_numbers(fields);
	u64 mask = take(fields), keep_groups = take(fields);
	if (run->user.known) {
		uid = run->user.uid;
		gid = run->user.gid;
	}
	int error = keep_groups ? 0 : set_groups(run, groups, gid);
	if (!error) /* or leaving uid 0 would empty the sets that CAPABILITIES is to choose from */
		error = uid ? (int)sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0) : 0;
	if (!error)
		error = (int)sys(setresgid, gid, gid, gid);
	if (!error)
		error = (int)sys(setresuid, uid, uid, uid);
	sys(umask, mask == ~0ULL ? run->old_umask : mask & 0777);
	run->old_umask = (u32)~0;
	return error;
}

int op_DROP_BOUNDING(struct run *run, struct cursor *fields)
{
	(void)run;
	u64 keep = take(fields);
	for (u64 capability = 0; capability < 64; capability++) {
		if (keep >> capability & 1)
			continue;
		int error = (int)sys(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
		if (error == -EINVAL)
			return 0; /* past the last one that this kernel has */
		if (error && sys(prctl, PR_CAPBSET_READ, capability, 0, 0, 0) != 0)
			return error;
	}
	return 0;
}

int op_CAPABILITIES(struct run *run, struct cursor *fields)
{
	(void)run;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	u64 effective = take(fields), permitted = take(fields), inheritable = take(fields), ambient = take(fields);
	struct __user_cap_data_struct sets[2] = {
		{(u32)effective, (u32)permitted, (u32)inheritable},
		{(u32)(effective >> 32), (u32)(permitted >> 32), (u32)(inheritable >> 32)},
	};
	int error = (int)sys(capset, &header, sets);
	if (!error) /* CVE-2016-8867: the caller's own must not get through */
		error = (int)sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (u64 capability = 0; capability < 64 && !error; capability++)
		if (ambient >> capability & 1)
			error = (int)sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
	return error;
}

int op_NO_NEW_PRIVS(struct run *run, struct cursor *fields)
{
	(void)run, (void)fields;
	return (int)sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_NOT_DUMPABLE(struct run *run, struct cursor *fields)
{
	(void)run, (void)fields;
	return (int)sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int op_NEW_SESSION(struct run *run, struct cursor *fields)
{
	(void)run, (void)fields;
	int error = (int)sys(setsid);
	return error == -EPERM ? 0 : error > 0 ? 0 : error;
}
