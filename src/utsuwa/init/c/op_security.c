/* Seccomp, the device filter of a cgroup, the session keyring, limits. */
#include "init.h"
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>

#define PROGRAMS_LIMIT 64

int op_SECCOMP(struct run *run, struct cursor *fields)
{
	struct bytes program = take_bytes(fields);
	u64 flags = take(fields);
	if (!program.size || program.size % sizeof(struct sock_filter) || program.size / sizeof(struct sock_filter) > 4096)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	struct sock_fprog filter = {
		.len = (unsigned short)(program.size / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)program.data,
	};
	int error = sweep_descriptors(run);
	if (error)
		return error;
	if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		return load_listening(run, &filter, flags);
	long result = sys(seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
	/* TSYNC answers with the id of a thread that is in the way; there is one thread only */
	return result < 0 ? (int)result : 0;
}

static int bpf(int command, union bpf_attr *attributes)
{
	return (int)sys(bpf, command, attributes, sizeof *attributes);
}

static int load_filter(const struct bytes *program)
{
	union bpf_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attributes.insns = (u64)program->data;
	attributes.insn_cnt = (u32)(program->size / sizeof(struct bpf_insn));
	attributes.license = (u64) "Apache-2.0";
	memcpy(attributes.prog_name, "utsuwa_devices", 15);
	return bpf(BPF_PROG_LOAD, &attributes);
}

static int attached_filters(int cgroup, u32 *ids, u32 *count)
{
	union bpf_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.query.target_fd = (u32)cgroup;
	attributes.query.attach_type = BPF_CGROUP_DEVICE;
	attributes.query.prog_ids = (u64)ids;
	attributes.query.prog_cnt = PROGRAMS_LIMIT;
	int error = bpf(BPF_PROG_QUERY, &attributes);
	*count = error ? 0 : attributes.query.prog_cnt;
	return error;
}

static int filter_of_id(u32 id)
{
	union bpf_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.prog_id = id;
	return bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
}

static int attach_filter(int cgroup, int program, int replaced)
{
	union bpf_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.target_fd = (u32)cgroup;
	attributes.attach_bpf_fd = (u32)program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	attributes.attach_flags = BPF_F_ALLOW_MULTI | (replaced >= 0 ? BPF_F_REPLACE : 0);
	if (replaced >= 0)
		attributes.replace_bpf_fd = (u32)replaced;
	return bpf(BPF_PROG_ATTACH, &attributes);
}

static int detach_filter(int cgroup, int program)
{
	union bpf_attr attributes;
	memset(&attributes, 0, sizeof attributes);
	attributes.target_fd = (u32)cgroup;
	attributes.attach_bpf_fd = (u32)program;
	attributes.attach_type = BPF_CGROUP_DEVICE;
	return bpf(BPF_PROG_DETACH, &attributes);
}

/* One old filter is exchanged in place; several stay until the new one is there: at no moment is everything allowed. */
static int exchange_filters(int cgroup, int program)
{
	static u32 ids[PROGRAMS_LIMIT];
	u32 count;
	int error = attached_filters(cgroup, ids, &count);
	if (error)
		return error;
	int old = count == 1 ? filter_of_id(ids[0]) : -1;
	error = attach_filter(cgroup, program, old);
	close_fd(old);
	if (error || old >= 0)
		return error;
	for (u32 i = 0; i < count && !error; i++) {
		old = filter_of_id(ids[i]);
		error = old < 0 ? old : detach_filter(cgroup, old);
		if (old >= 0)
			close_fd(old);
	}
	return error;
}

int op_ATTACH_DEVICE_FILTER(struct run *run, struct cursor *fields)
{
	const char *path = take_text(fields);
	struct bytes program = take_bytes(fields);
	if (!program.size || program.size % sizeof(struct bpf_insn))
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	int cgroup = open_path(path, O_RDONLY | O_DIRECTORY);
	if (cgroup < 0)
		return fail(run, cgroup, DETAIL_OPEN_CGROUP);
	int filter = load_filter(&program);
	int error = filter < 0 ? fail(run, filter, DETAIL_BPF_LOAD) : exchange_filters(cgroup, filter);
	if (error && filter >= 0)
		fail(run, 0, DETAIL_BPF_ATTACH);
	if (filter >= 0)
		close_fd(filter);
	close_fd(cgroup);
	return error;
}

/* Without its own session keyring a container reads and fills the caller's. Kernels without keyrings have nothing to leak. */
int op_SESSION_KEYRING(struct run *run, struct cursor *fields)
{
	(void)run;
	static char text[256];
	long ring = sys(keyctl, KEYCTL_JOIN_SESSION_KEYRING, take_text(fields), 0, 0, 0);
	if (ring < 0)
		return ring == -ENOSYS || ring == -EPERM ? 0 : (int)ring;
	/* "type;uid;gid;permissions;name": the possessor may search and link, too, as a later `exec` joins by name */
	long size = sys(keyctl, KEYCTL_DESCRIBE, ring, text, sizeof text, 0);
	if (size < 0 || size > (long)sizeof text)
		return 0;
	const char *at = text;
	for (int i = 0; i < 3; i++) {
		while (*at && *at != ';')
			at++;
		at += *at == ';';
	}
	u32 permissions = 0;
	for (; *at && *at != ';'; at++)
		permissions = permissions << 4 | (u32)(*at <= '9' ? *at - '0' : (*at | 32) - 'a' + 10);
	/* KEY_USR_SEARCH (8) of the owner: 0x00080000 */
	sys(keyctl, KEYCTL_SETPERM, ring, permissions | 0x00080000, 0, 0);
	return 0;
}

struct limits {
	u64 soft, hard;
};

int op_RLIMIT(struct run *run, struct cursor *fields)
{
	(void)run;
	u64 resource = take(fields);
	struct limits limits = {.soft = take(fields)};
	limits.hard = take(fields);
	return (int)sys(prlimit64, 0, resource, &limits, NULL);
}

int op_OOM_SCORE_ADJ(struct run *run, struct cursor *fields)
{
	(void)run;
	s64 value = (s64)take(fields);
	char digits[22];
	char *text = decimal(value < 0 ? 0 - (u64)value : (u64)value, digits + sizeof digits);
	if (value < 0)
		*--text = '-';
	return write_file(AT_FDCWD_, "/proc/self/oom_score_adj", text, length(text));
}
