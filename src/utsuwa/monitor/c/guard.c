/*
 * utsuwa-guard: the half of a monitor that lives as long as the container. It is the container's parent, keeps its stdio
 * open, and has a worker made when there is something to do. It writes nothing it needn't: 30 kB are its own.
 *
 *   utsuwa-guard CONTROL WORKER PARENT FORKSERVER PYTHON ARGUMENT...
 *
 * CONTROL leads to the first worker, whose pid is WORKER, a child of ours. PARENT is who must be our parent. FORKSERVER is
 * the name of a socket in the working directory, where later workers come from; when nobody answers there, one is
 * started with the command that follows. The workers' side of the messages is in ../guard.py.
 */
#include "guard.h"
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/signalfd.h>
#include <linux/time_types.h>
#include <linux/un.h>
#include <linux/wait.h>

#define AF_UNIX_ 1
#define SOCK_STREAM_ 1
#define SOCK_SEQPACKET_ 5
#define SOCK_FLAGS (O_CLOEXEC | O_NONBLOCK)
#define RESUME 50 /* the kind of the frame that asks a forkserver for a worker, see ../frames.py */
#define WORKER_CONTROL 3
#define PATIENCE 5     /* seconds for a worker from the forkserver to report, before we start one ourselves */
#define PAUSE 100      /* milliseconds to wait after a worker that was killed: by somebody who may do it again; */
#define PAUSES 50      /* twice as long after two, and so on, but never more than so many times */

START_CODE(guard_main);

struct guard {
	int signals;	 /* readable when a child has ended */
	int control;	 /* leads to the worker, -1 without one */
	long child;	 /* the worker's pid where it is our child */
	int first;	 /* the worker is the one that we began with: it takes its time */
	int present;	 /* the worker has reported */
	int idle;	 /* its last word was that there is nothing to do */
	int distrust;	 /* the forkserver's last worker did not report */
	int alone;	 /* the next worker is not to be the forkserver's */
	u32 failures;	 /* workers in a row that left no word */
	u32 pid;	 /* the container's process, 0 as long as nobody has said */
	s32 ended;	 /* it has */
	s32 status;	 /* and this is its wait status */
	int held[MOST];	 /* descriptors for the next worker, the first `watched` of which call for one */
	u32 count, watched;
	const char *forkserver;
	char **command, **environment;
};

static long number(const char *text)
{
	long value = 0;
	while (*text >= '0' && *text <= '9')
		value = value * 10 + *text++ - '0';
	return value;
}

static void rest(long milliseconds)
{
	struct __kernel_timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
	sys(nanosleep, &time, NULL);
}

/* Children are only looked at when poll says so: no handler runs, and nothing is interrupted. */
static int open_signals(void)
{
	struct sigaction plain = {.sa_handler = SIG_DFL}; /* ignored, they would be reaped without us */
	unsigned long mask = 1UL << (SIGCHLD - 1);
	sys(rt_sigaction, SIGCHLD, &plain, NULL, sizeof mask);
	sys(rt_sigprocmask, SIG_BLOCK, &mask, NULL, sizeof mask);
	return (int)sys(signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void tell_end(struct guard *guard, const int *rights, u32 count)
{
	struct end end = {guard->ended ? guard->pid : 0, guard->status};
	send_rights(guard->control, &end, sizeof end, rights, count, MSG_DONTWAIT_);
}

/* Nobody is collected before the worker has said which child matters: a container may be faster than that message. */
static void reap(struct guard *guard)
{
	s32 status;
	long child;
	while (guard->pid && (child = sys(wait4, -1L, &status, WNOHANG, NULL)) > 0) {
		if (child == guard->child)
			guard->child = 0;
		if (child == guard->pid && !guard->ended) {
			guard->ended = 1;
			guard->status = status;
			if (guard->present)
				tell_end(guard, NULL, 0);
		}
	}
}

__attribute__((noreturn)) static void finish(struct guard *guard)
{
	if (guard->child) /* where process 1 reaps nobody it would stay for ever */
		sys(wait4, guard->child, NULL, 0, NULL);
	leave(0);
}

static void let_go(struct guard *guard)
{
	for (u32 i = 0; i < guard->count; i++)
		sys(close, guard->held[i]);
	guard->count = guard->watched = 0;
}

/* The worker is gone. With nothing to hand to another, so are we. */
static void lose_worker(struct guard *guard)
{
	sys(close, guard->control);
	guard->control = -1;
	guard->present = guard->first = 0;
	if (!guard->count)
		finish(guard);
	if (!guard->idle && guard->failures < PAUSES)
		guard->failures++;
	if (!guard->idle)
		rest(PAUSE * guard->failures);
}

static void hear(struct guard *guard)
{
	struct word word;
	int rights[RIGHTS_LIMIT];
	u32 count = 0;
	long size = receive_rights(guard->control, &word, sizeof word, rights, &count, MSG_DONTWAIT_);
	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size < (long)sizeof word) {
		lose_worker(guard);
		return;
	}
	if (word.kind == PRESENT) {
		sys(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0); /* from here on we live whatever becomes of the forkserver */
		guard->present = 1;
		guard->distrust = 0;
		tell_end(guard, guard->held, guard->count);
	} else if (word.kind == HANDOVER) {
		let_go(guard);
		while (count > MOST)
			sys(close, rights[--count]);
		memcpy(guard->held, rights, count * sizeof *rights);
		guard->count = count;
		guard->watched = word.watched < count ? word.watched : count;
		guard->alone = word.alone;
		if (guard->pid != word.pid)
			guard->ended = 0;
		guard->pid = word.pid;
		guard->failures = 0;
		reap(guard);
	} else if (word.kind == IDLE) {
		guard->idle = 1;
		guard->failures = 0;
	}
}

/* Sends the worker's end of its socket to whoever is ready to be a worker. */
static int ask_forkserver(const struct guard *guard, int theirs)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX_};
	size_t size = length(guard->forkserver) + 1;
	const u8 frame[8] = {RESUME};
	int asked = 0;
	long connection = size > sizeof address.sun_path ? -1 : sys(socket, AF_UNIX_, SOCK_STREAM_ | SOCK_FLAGS, 0);
	if (connection < 0)
		return 0;
	memcpy(address.sun_path, guard->forkserver, size);
	if (sys(connect, connection, &address, sizeof address.sun_family + size) == 0)
		asked = send_rights((int)connection, frame, sizeof frame, &theirs, 1, MSG_DONTWAIT_) == sizeof frame;
	sys(close, connection);
	return asked;
}

static long start_directly(const struct guard *guard, int theirs)
{
	unsigned long nothing = 0;
	long pid = sys(clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid)
		return pid > 0 ? pid : 0;
	sys(rt_sigprocmask, SIG_SETMASK, &nothing, NULL, sizeof nothing);
	if (theirs == WORKER_CONTROL)
		sys(fcntl, theirs, F_SETFD, 0);
	else
		sys(dup3, theirs, WORKER_CONTROL, 0);
	sys(execve, guard->command[0], guard->command, guard->environment);
	leave(127);
}

/* On failure, of whatever kind, the next turn finds no worker, rests and tries again. */
static void start_worker(struct guard *guard)
{
	int pair[2];
	if (sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair) < 0) {
		rest(PAUSE);
		return;
	}
	guard->control = pair[0];
	guard->idle = 0;
	if (guard->alone || guard->distrust || !ask_forkserver(guard, pair[1]))
		guard->child = start_directly(guard, pair[1]);
	sys(close, pair[1]);
}

static void turn(struct guard *guard)
{
	struct pollfd set[2 + MOST] = {{guard->signals, POLLIN, 0}, {guard->control, POLLIN, 0}};
	struct __kernel_timespec patience = {.tv_sec = PATIENCE};
	int waits = guard->control >= 0 && !guard->present && !guard->first && !guard->distrust && !guard->alone;
	u32 count = 2;
	if (guard->control < 0 && guard->ended) { /* nothing else may happen any more that would wake us */
		start_worker(guard);
		return;
	}
	for (u32 i = 0; guard->control < 0 && i < guard->watched; i++)
		set[count++] = (struct pollfd){guard->held[i], POLLIN, 0};
	long ready = sys(ppoll, set, count, waits ? &patience : NULL, NULL, 0);
	if (ready < 0)
		return;
	if (waits && !ready) {
		guard->distrust = guard->idle = 1; /* the next one is started at once, and by us */
		lose_worker(guard);
	} else if (set[1].revents) { /* before the dead: a worker's last word says what is to become of its work */
		hear(guard);
		return;
	} else if (set[0].revents) {
		struct signalfd_siginfo spent;
		sys(read, guard->signals, &spent, sizeof spent);
		reap(guard);
	}
	for (u32 i = 2; i < count; i++)
		if (set[i].revents) {
			start_worker(guard);
			return;
		}
}

__attribute__((noreturn, used)) void guard_main(long *stack)
{
	static struct guard guard;
	long count = stack[0];
	char **arguments = (char **)(stack + 1);
	if (count < 6)
		leave(2);
	guard.control = (int)number(arguments[1]);
	guard.child = number(arguments[2]);
	guard.first = 1;
	guard.forkserver = arguments[4];
	guard.command = arguments + 5;
	guard.environment = arguments + count + 1;
	sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sys(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (sys(getppid) != number(arguments[3]))
		leave(1);
	sys(fcntl, guard.control, F_SETFD, FD_CLOEXEC);
	guard.signals = open_signals();
	if (guard.signals < 0)
		leave(1);
	for (;;)
		turn(&guard);
}
