/*
 * A seccomp filter that asks user space (SECCOMP_FILTER_FLAG_NEW_LISTENER): its listener has to reach the parent, and the
 * thread that loaded the filter may be stopped by it at any system call from then on. So another thread, made before and
 * thus not filtered, does the talking; the filtered one needs write(2) to wake it, which filters may not ask about for that
 * reason, and read(2) to wait, which is answered if it is asked about: the listener is with the agent by then.
 */
#include "init.h"
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define STACK_WORDS 1024

struct messenger {
	struct run *run;
	int socket; /* its end of the pair */
};

__attribute__((noreturn)) static void deliver(void *argument)
{
	struct messenger *self = argument;
	int listener;
	long size;
	do
		size = sys(read, self->socket, &listener, sizeof listener);
	while (size == -EINTR);
	if (size == sizeof listener) {
		int error = hand_over(self->run, REQUEST_SECCOMP_LISTENER, listener);
		close_fd(listener); /* or calls would wait for ever for an agent that has died */
		sys(write, self->socket, &error, sizeof error);
	}
	for (;;)
		sys(exit, 0);
}

int load_listening(struct run *run, const struct sock_fprog *filter, u64 flags)
{
	static u64 stack[STACK_WORDS] __attribute__((aligned(16)));
	static struct messenger messenger;
	int pair[2], error;
	error = (int)sys(socketpair, 1 /* AF_UNIX */, 1 /* SOCK_STREAM */ | O_CLOEXEC, 0, pair);
	if (error)
		return error;
	messenger = (struct messenger){run, pair[1]};
	long result = start_thread(THREAD, stack + STACK_WORDS, deliver, &messenger);
	if (result < 0)
		return (int)result;
	result = sys(seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
	if (result < 0)
		return (int)result;
	error = (int)result;
	result = sys(write, pair[0], &error, sizeof error);
	if (result < 0)
		return (int)result;
	do
		result = sys(read, pair[0], &error, sizeof error);
	while (result == -EINTR);
	return result < 0 ? (int)result : error;
}
