/*
 * Copies the image's pages that are going to be written to, before they are: a fault each would take twice as long.
 *
 * A second thread copies those that only some verbs take, on another processor if one is idle, while Python begins on this
 * one; on a busy machine it would cost more than it brings. It is bare: no C library (errno would be the first thread's), no
 * thread-local memory, no signals. Where it finds a page that the other one has copied already, it has nothing to do.
 */
#include "syscall.h"
#include <linux/fcntl.h>

#define MADV_POPULATE_WRITE_ 23 /* Linux 5.14; if it fails, faults do it */
#define THREAD 0x50f00ul        /* CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */
#define SIG_BLOCK_ 0
#define SIG_SETMASK_ 2

/* As in embedded.h, which needs a C library around it. */
struct stretch {
	char *at;
	size_t size;
	long offset;
};

static struct {
	const struct stretch *stretches;
	size_t count;
} later;
static u64 stack[512];

void populate(const struct stretch *stretches, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sys(madvise, stretches[i].at, stretches[i].size, MADV_POPULATE_WRITE_);
}

static void populate_later(void *unused)
{
	(void)unused;
	populate(later.stretches, later.count);
	sys(exit, 0);
}

/* Whether fewer tasks can run than there are processors: the fourth field of /proc/loadavg begins with how many. */
static int idle_processor(void)
{
	char text[64];
	u64 processors[128] = {0};
	long file = sys(openat, AT_FDCWD, "/proc/loadavg", O_RDONLY | O_CLOEXEC);
	long size = file < 0 ? -1 : sys(read, file, text, sizeof text - 1);
	int fields = 0, running = 0, count = 0;
	if (file >= 0)
		sys(close, file);
	for (long at = 0; at < size && fields < 4 && text[at] != '/'; at++)
		if (text[at] == ' ')
			fields++;
		else if (fields == 3)
			running = running * 10 + text[at] - '0';
	for (long at = 0, words = sys(sched_getaffinity, 0, sizeof processors, processors) / 8; at < words; at++)
		count += __builtin_popcountl(processors[at]);
	return running > 0 && running < count;
}

/* As populate(), but it may come back before it is done. Signals are for the first thread: the second one has all blocked. */
void populate_meanwhile(const struct stretch *stretches, size_t count)
{
	u64 all = ~0ul, before;
	if (!idle_processor()) {
		populate(stretches, count);
		return;
	}
	later.stretches = stretches;
	later.count = count;
	sys(rt_sigprocmask, SIG_BLOCK_, &all, &before, sizeof all);
	if (start_thread(THREAD, stack + sizeof stack / sizeof *stack, populate_later, NULL) < 0)
		populate(stretches, count);
	sys(rt_sigprocmask, SIG_SETMASK_, &before, NULL, sizeof before);
}
