/* The conversation with the parent: 32-byte records up, 8-byte replies down, over a SOCK_SEQPACKET socket. */
#include "init.h"
#include "message.h"
#include "rights.h"

#include <asm/signal.h>

#ifdef SA_RESTORER
#define RESTORER_FLAG SA_RESTORER
#define SET_RESTORER(action, function) ((action).sa_restorer = (void (*)(void))(function))
#else
#define RESTORER_FLAG 0
#define SET_RESTORER(action, function)
#endif

struct record {
	u32 kind, index;
	s32 error;
	u32 detail;
	s64 value;
	u64 reserved;
};

static void transmit(struct run *run, const struct record *record)
{
	/* A parent that is gone can't be told; SIGPIPE would only hide the reason. */
	sys(sendto, run->channel, record, sizeof *record, MSG_NOSIGNAL_, NULL, 0);
}

void report(struct run *run, enum report kind, s64 value)
{
	struct record record = {.kind = kind, .index = run->index, .value = value};
	transmit(run, &record);
}

void report_failure(struct run *run, int error)
{
	struct record record = {
		.kind = REPORT_FAILED,
		.index = run->index,
		.error = -error,
		.detail = run->detail,
		.value = run->value,
	};
	transmit(run, &record);
}

/*
 * Moves received descriptors to their numbers. The sender takes numbers that are in use here, as 0 to 2 are, or far above those
 * that the kernel gives out.
 */
static int place(const int *descriptors, const u64 *numbers, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		long error = sys(dup3, descriptors[i], numbers[i], numbers[i] > 2 ? O_CLOEXEC : 0);
		if (error < 0)
			return (int)error;
		close_fd(descriptors[i]);
	}
	return 0;
}

/*
 * Waits until the parent says go on; a parent that hangs up has given up on this container. Three descriptors that come with it
 * are the standard streams.
 */
static int await_reply(struct run *run, int flags)
{
	static const u64 streams[] = {0, 1, 2};
	u64 reply = 0;
	int descriptors[RIGHTS_LIMIT];
	u32 count;
	long size;
	do
		size = receive_rights(run->channel, &reply, sizeof reply, descriptors, &count, flags);
	while (size == -EINTR);
	if (size == 0)
		leave(1);
	if (size < 0)
		return (int)size;
	if (size != sizeof reply || reply != 1 || (count && count != sizeof streams / sizeof *streams))
		return fail(run, -EPROTO, DETAIL_NO_REPLY);
	return place(descriptors, streams, count);
}

/* A parent that knows what will be asked may have answered already. */
int ask(struct run *run, u64 request)
{
	int error = await_reply(run, MSG_DONTWAIT_);
	if (error != -EAGAIN)
		return error;
	report(run, REPORT_REQUEST, (s64)request);
	return await_reply(run, 0);
}

/* A request that comes with a descriptor, in a message of its own behind it. */
int hand_over(struct run *run, u64 request, int descriptor)
{
	report(run, REPORT_REQUEST, (s64)request);
	long sent = send_rights(run->channel, "descriptor", 10, &descriptor, 1, 0);
	return sent < 0 ? (int)sent : await_reply(run, 0);
}

/*
 * A request that nobody waits for, with descriptors in the same message: stage 1 may be about to tell of the clone, and
 * would come between two.
 */
int offer(struct run *run, u64 request, const int *descriptors, u32 count)
{
	struct record record = {.kind = REPORT_REQUEST, .index = run->index, .value = (s64)request};
	long sent = send_rights(run->channel, &record, sizeof record, descriptors, count, 0);
	return sent < 0 ? (int)sent : 0;
}

int op_ASK(struct run *run, struct cursor *fields)
{
	return ask(run, take(fields));
}

/*
 * A message of u64 numbers with as many descriptors: the plan, which stays where it is, then those that it needs, each to get its
 * number. Nothing but the end of the file means that nobody needs this process.
 */
int op_AWAIT_PLAN(struct run *run, struct cursor *fields)
{
	u64 numbers[RIGHTS_LIMIT];
	int descriptors[RIGHTS_LIMIT];
	u32 count;
	long size;
	(void)fields;
	do
		size = receive_rights(run->channel, numbers, sizeof numbers, descriptors, &count, 0);
	while (size == -EINTR);
	if (!size)
		leave(0);
	if (size < 0)
		return (int)size;
	if (!count || (u64)size != count * sizeof *numbers)
		return fail(run, -EPROTO, DETAIL_BAD_PLAN);
	int error = place(descriptors + 1, numbers + 1, count - 1);
	return error ? error : adopt_plan(run, descriptors[0]);
}

static void die(int signal)
{
	leave(128 + signal);
}

/*
 * The first process of a pid namespace ignores what it does not handle, SIGKILL apart: while it waits, the signals that end
 * programs have to end it (runtime.md, "Kill").
 */
static void answer_signals(void (*handler)(int))
{
	static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	/* x86-64 takes no handler without a restorer; this one never returns to need it */
	struct sigaction action = {.sa_handler = handler, .sa_flags = RESTORER_FLAG};
	SET_RESTORER(action, handler);
	for (u64 i = 0; i < sizeof ending / sizeof *ending; i++)
		sys(rt_sigaction, ending[i], &action, NULL, sizeof(u64));
}

/* The caller of `start` connects to the listener; from then on that connection is the channel. */
int op_AWAIT_START(struct run *run, struct cursor *fields)
{
	int listener = (int)take(fields);
	long connection;
	for (int i = 0; i < 4; i++) { /* the wait may be long, and nothing needs them any more */
		int *spent[] = {&run->null, &run->empty, &run->proc, &run->new_proc};
		close_fd(*spent[i]);
		*spent[i] = -1;
	}
	close_sources(run);
	answer_signals(die);
	report(run, REPORT_WAITING, 0);
	close_fd(run->channel);
	run->channel = -1;
	do
		connection = sys(accept4, listener, NULL, NULL, O_CLOEXEC);
	while (connection == -EINTR || connection == -ECONNABORTED);
	close_fd(listener);
	if (connection < 0)
		return (int)connection;
	answer_signals(SIG_DFL);
	run->channel = (int)connection;
	return 0;
}
