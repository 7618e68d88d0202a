/*
 * Where the program begins, before the C library: has its file in the page cache in large pieces.
 *
 * When the file is not there, faults bring it in page by page. That is how it stays, and every start has fifty faults more,
 * and pays for each page that it maps: an eighth of its processor time, until the machine is switched off. So the first
 * start reads all of it, 2 MB at a time. This code is alone on a page at the begin of the file (tools/program.py): what is mapped
 * already can't be had in larger pieces any more.
 */
#include "syscall.h"
#include <linux/fadvise.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/uio.h>

#define HERE __attribute__((section(".begin")))
#define HUGE (2l << 20)
#define READ_HUGE 14 /* MADV_HUGEPAGE, of a file: read as much at once, and in one piece if the file system can */
#define POPULATE 22  /* MADV_POPULATE_READ, Linux 5.14 */
#define END 2        /* SEEK_END */

extern const char program[];

/* Opened anew: the kernel would go on reading as it began. */
HERE static void fetch(long size)
{
	long file = sys(openat, AT_FDCWD, program, O_RDONLY | O_CLOEXEC), most = size * 2 / 3 / HUGE * HUGE;
	long memory = sys(mmap, NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
	if (memory > 0 && sys(madvise, memory, size, READ_HUGE) == 0) {
		/* what execve(2) has had read ahead must go, which it does when it is there: the last third takes longer */
		sys(madvise, memory + most, size - most, POPULATE);
		sys(fadvise64, file, HUGE, most - HUGE, POSIX_FADV_DONTNEED);
		sys(madvise, memory + HUGE, most - HUGE, POPULATE);
	}
	sys(munmap, memory, size);
	sys(close, file);
}

/* Every start reads the file's end: when that would have to wait for the disk, nobody has started lately. */
HERE __attribute__((used)) static void look(void)
{
	char byte;
	struct iovec last = {&byte, 1};
	long file = sys(openat, AT_FDCWD, program, O_RDONLY | O_CLOEXEC), size = sys(lseek, file, 0, END);
	long got = sys(preadv2, file, &last, 1, size - 1, 0, RWF_NOWAIT);
	sys(close, file);
	if (got == -EAGAIN)
		fetch(size);
}

#if defined(__x86_64__)
#define CODE "push %rdx\n call look\n pop %rdx\n jmp _start\n"
#else
#define CODE "bl look\n mov x0, #0\n b _start\n"
#endif

__asm__(".pushsection .begin,\"ax\"\n"
	".globl begin\n"
	"begin: " CODE
	"program: .asciz \"/proc/self/exe\"\n" /* not among the constants, which are elsewhere */
	".popsection\n");
