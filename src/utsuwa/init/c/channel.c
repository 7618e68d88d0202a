/* The conversation with the parent: 32-byte records up, 8-byte replies down, over a SOCK_SEQPACKET socket. */
#include "init.h"
#include "message.h"

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

/* Waits until the parent says go on; a parent that hangs up has given up on this container. */
static int await_reply(struct run *run)
{
	u64 reply = 0;
	long size;
	do
		size = sys(recvfrom, run->channel, &reply, sizeof reply, 0, NULL, NULL);
	while (size == -EINTR);
	if (size == 0)
		leave(1);
	if (size < 0)
		return (int)size;
	return size == sizeof reply && reply == 1 ? 0 : fail(run, -EPROTO, DETAIL_NO_REPLY);
}

int ask(struct run *run, u64 request)
{
	report(run, REPORT_REQUEST, (s64)request);
	return await_reply(run);
}

/* A request that comes with a descriptor, in a message of its own behind it. */
int hand_over(struct run *run, u64 request, int descriptor)
{
	report(run, REPORT_REQUEST, (s64)request);
	int error = send_descriptor(run->channel, descriptor, "descriptor");
	return error ? error : await_reply(run);
}

int send_descriptor(int socket, int descriptor, const char *payload)
{
	struct vector part = {payload, length(payload)};
	struct control control = {DESCRIPTOR_CONTROL_SIZE, SOL_SOCKET_, SCM_RIGHTS_, {descriptor}};
	struct message message = {
		.parts = &part,
		.part_count = 1,
		.control = &control,
		.control_size = DESCRIPTOR_CONTROL_SPACE,
	};
	long result = sys(sendmsg, socket, &message, MSG_NOSIGNAL_);
	return result < 0 ? (int)result : 0;
}

int op_ASK(struct run *run, struct cursor *fields)
{
	return ask(run, take(fields));
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
	for (int i = 0; i < 3; i++) { /* the wait may be long, and nothing needs them any more */
		int *spent[] = {&run->null, &run->empty, &run->proc};
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
