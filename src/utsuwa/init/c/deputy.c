/*
 * The deputy: a process forked by stage 1 before any namespace is entered. It keeps the caller's rights and namespaces, and
 * does the half of an op that the container's process has no rights to: the owner of a user namespace can't give a host's
 * mount another id map, nor take a network device from the host. It reads that op out of its own copy of the plan.
 *
 * While it is not dismissed, the end of the container's process means that the creation failed: then it puts back what it
 * moved. Stage 1 waits for it, so that the parent hears of a failure only when everything is in its old place.
 */
#include "init.h"
#include "deputy.h"
#include "message.h"
#include "rights.h"
#include <asm/signal.h>
#include <linux/prctl.h>
#include <linux/sched.h>

#define CONTROL_LIMIT 96

struct answer {
	s32 error;
	u32 detail;
	s64 value;
};

/* The op that a request is about, for the deputy to read again. */
static int find_op(struct run *run, u64 index, u32 *code, struct cursor *fields)
{
	const u8 *at = run->ops;
	for (u64 i = 0; i < run->op_count; i++) {
		const struct op *op = (const struct op *)at;
		*code = op->code;
		fields->at = at + sizeof *op;
		if (i == index)
			return 0;
		at = fields->at + op->size;
	}
	return -EINVAL;
}

/* One request: the index of an op, who asks (as the deputy numbers processes), and perhaps a descriptor. 0: nobody is left. */
static int receive(int socket, u64 *index, struct errand *errand)
{
	u8 control[CONTROL_LIMIT] __attribute__((aligned(8)));
	struct vector part = {index, sizeof *index};
	struct message message = {.parts = &part, .part_count = 1, .control = control, .control_size = sizeof control};
	long size;
	do
		size = sys(recvmsg, socket, &message, MSG_CMSG_CLOEXEC_);
	while (size == -EINTR);
	errand->pid = errand->descriptor = -1;
	for (size_t at = 0; size > 0 && at + sizeof(size_t) + 8 <= message.control_size;) {
		const struct control *item = (const struct control *)(control + at);
		if (item->type == SCM_RIGHTS_)
			errand->descriptor = item->value[0];
		else if (item->type == SCM_CREDENTIALS_)
			errand->pid = item->value[0];
		at += (item->size + 7) & ~7UL;
	}
	return size == sizeof *index;
}

static int carry_out(struct run *run, u64 index, const struct errand *errand)
{
	struct cursor fields;
	u32 code;
	int error = find_op(run, index, &code, &fields);
	if (error)
		return error;
	switch (code) {
	case OP_BIND:
		return give_id_map(run, errand, &fields);
	case OP_NET_DEVICE:
		return give_network_device(run, errand, &fields);
	}
	return -EINVAL;
}

__attribute__((noreturn)) static void serve(struct run *run, int socket)
{
	struct errand errand;
	u64 index;
	while (receive(socket, &index, &errand)) {
		if (index == DISMISSED)
			leave(0);
		run->detail = DETAIL_NONE;
		run->value = 0;
		int error = carry_out(run, index, &errand);
		struct answer answer = {.error = error, .detail = run->detail, .value = run->value};
		close_fd(errand.descriptor);
		sys(sendto, socket, &answer, sizeof answer, MSG_NOSIGNAL_, NULL, 0);
	}
	take_network_devices_back();
	leave(0);
}

/* Nothing of the caller's stays open in it, and no signal keeps it from putting things back. */
static void settle(int socket)
{
	static const u64 all = ~0ULL;
	sys(rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof all);
	sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (socket > 0)
		sys(close_range, 0, socket - 1, 0);
	sys(close_range, socket + 1, ~0U, 0);
}

int op_DEPUTY(struct run *run, struct cursor *fields)
{
	(void)fields;
	int ends[2], on = 1;
	if (run->deputy >= 0 || run->born)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	int error = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, ends);
	if (error)
		return error;
	error = (int)sys(setsockopt, ends[1], SOL_SOCKET_, SO_PASSCRED_, &on, sizeof on);
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = error ? error : sys(clone3, &args, sizeof args);
	if (pid == 0) {
		settle(ends[1]);
		serve(run, ends[1]);
	}
	close_fd(ends[1]);
	if (pid < 0) {
		close_fd(ends[0]);
		return (int)pid;
	}
	run->deputy = ends[0];
	run->deputy_pid = (int)pid;
	return 0;
}

/* Stage 1's last act: nothing of it may keep a pipe or the channel open meanwhile. */
void await_deputy(struct run *run)
{
	if (run->deputy_pid <= 0)
		return;
	sys(close_range, 0, ~0U, 0);
	while (sys(wait4, run->deputy_pid, NULL, 0, NULL) == -EINTR)
		;
}

/* Lets the deputy do its half of the current op, with `descriptor` if that is not -1. */
int ask_deputy(struct run *run, int descriptor)
{
	u64 index = run->index;
	struct answer answer;
	if (run->deputy < 0)
		return fail(run, -EINVAL, DETAIL_BAD_PLAN);
	long size = send_rights(run->deputy, &index, sizeof index, &descriptor, descriptor >= 0, 0);
	if (size < 0)
		return (int)size;
	do
		size = sys(recvfrom, run->deputy, &answer, sizeof answer, 0, NULL, NULL);
	while (size == -EINTR);
	if (size != sizeof answer)
		return fail(run, -EPROTO, DETAIL_NO_REPLY);
	return answer.error ? fail_value(run, answer.error, answer.detail, answer.value) : 0;
}

/* The creation has come far enough: what the deputy did stays. */
int op_DISMISS(struct run *run, struct cursor *fields)
{
	(void)fields;
	u64 index = DISMISSED;
	sys(sendto, run->deputy, &index, sizeof index, MSG_NOSIGNAL_, NULL, 0);
	close_fd(run->deputy);
	run->deputy = -1;
	return 0;
}

/* "/proc/PID/name" */
static int process_file(char *path, int pid, const char *name)
{
	char number[40] = "/proc/", digits[21];
	const char *text = decimal((u64)pid, digits + sizeof digits);
	memcpy(number + 6, text, length(text) + 1);
	return join_path(path, PROCESS_PATH_LIMIT, number, name);
}

/* A namespace of the process that asks; the host's /proc is the one in view here. */
int open_namespace(int pid, const char *name)
{
	char path[PROCESS_PATH_LIMIT];
	int error = process_file(path, pid, name);
	return error ? error : open_path(path, O_RDONLY);
}

static int write_map(int pid, const char *name, struct bytes map)
{
	char path[PROCESS_PATH_LIMIT];
	int error = process_file(path, pid, name);
	return error ? error : write_file(AT_FDCWD_, path, map.data, map.size);
}

/* A user namespace that has just these maps. Its one process waits to be told to go, so its number can't be another's. */
static int make_user_namespace(struct bytes uids, struct bytes gids)
{
	int pipe[2];
	int error = (int)sys(pipe2, pipe, O_CLOEXEC);
	if (error)
		return error;
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = sys(clone3, &args, sizeof args);
	if (pid == 0) {
		u8 nothing;
		close_fd(pipe[1]);
		sys(read, pipe[0], &nothing, 1);
		leave(0);
	}
	close_fd(pipe[0]);
	int namespace = (int)pid;
	if (pid > 0) {
		error = write_map((int)pid, "uid_map", uids);
		error = error ? error : write_map((int)pid, "gid_map", gids);
		namespace = error ? error : open_namespace((int)pid, "ns/user");
	}
	close_fd(pipe[1]);
	while (pid > 0 && sys(wait4, pid, NULL, 0, NULL) == -EINTR)
		;
	return namespace;
}

/* The deputy's half of BIND: other owners for the tree that was sent (mount_setattr(2), MOUNT_ATTR_IDMAP). */
int give_id_map(struct run *run, const struct errand *errand, struct cursor *cursor)
{
	struct bind_fields bind = take_bind(cursor);
	int namespace = bind.uid_map.size ? make_user_namespace(bind.uid_map, bind.gid_map)
					  : open_namespace(errand->pid, "ns/user");
	if (namespace < 0)
		return fail(run, namespace, DETAIL_ID_MAP);
	int error = set_id_map(errand->descriptor, namespace, (bind.flags & FLAG_BIND_ID_MAP_RECURSIVE) != 0);
	close_fd(namespace);
	return error ? fail(run, error, DETAIL_SET_ID_MAP) : 0;
}
