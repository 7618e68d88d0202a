/*
 * The whole C library of utsuwa's programs: system calls, the start code, and the four memory functions that the
 * compiler takes for granted. Nothing here may allocate, lock, read a locale or load code: the executor runs it inside
 * containers. Errors come back as negative errno values.
 */
#ifndef UTSUWA_SYSCALL_H
#define UTSUWA_SYSCALL_H

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef __SIZE_TYPE__ size_t;

#define NULL ((void *)0)
#define AT_FDCWD_ (-100)

/* Newer than the oldest kernel headers that the build accepts; the numbers are the same on every architecture. */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

#if defined(__x86_64__)

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* A thread on a stack of its own, of which `end` is the upper one; `function` never returns. The thread's id, or an error. */
static inline long start_thread(u64 flags, u64 *end, void (*function)(void *), void *argument)
{
	long result;
	*--end = (u64)argument;
	*--end = (u64)function;
	__asm__ volatile("syscall\n"
			 "	test %%rax, %%rax\n"
			 "	jnz 1f\n"
			 "	xor %%ebp, %%ebp\n"
			 "	pop %%rax\n"
			 "	pop %%rdi\n"
			 "	call *%%rax\n"
			 "	hlt\n"
			 "1:\n"
			 : "=a"(result)
			 : "a"((long)__NR_clone), "D"(flags), "S"(end)
			 : "rcx", "r11", "memory", "cc");
	return result;
}

/* The kernel hands over a bare stack: argc, argv, NULL, envp, NULL, auxv. `entry` gets its address. */
#define START_CODE(entry)                          \
	__asm__(".globl _start\n"                  \
		".type _start, @function\n"        \
		"_start:\n"                        \
		"	xor %ebp, %ebp\n"          \
		"	mov %rsp, %rdi\n"          \
		"	and $-16, %rsp\n"          \
		"	call " #entry "\n"         \
		"	hlt\n")

#elif defined(__aarch64__)

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
}

static inline long start_thread(u64 flags, u64 *end, void (*function)(void *), void *argument)
{
	register long x8 __asm__("x8") = __NR_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)(end - 2);
	*--end = (u64)argument;
	*--end = (u64)function;
	__asm__ volatile("svc 0\n"
			 "	cbnz x0, 1f\n"
			 "	ldp x1, x0, [sp], #16\n"
			 "	mov x29, #0\n"
			 "	mov x30, #0\n"
			 "	blr x1\n"
			 "	brk #1\n"
			 "1:\n"
			 : "+r"(x0), "+r"(x1)
			 : "r"(x8)
			 : "memory", "cc");
	return x0;
}

#define START_CODE(entry)                          \
	__asm__(".globl _start\n"                  \
		".type _start, %function\n"        \
		"_start:\n"                        \
		"	mov x29, #0\n"             \
		"	mov x30, #0\n"             \
		"	mov x0, sp\n"              \
		"	bl " #entry "\n"           \
		"	brk #1\n")

#else
#error "utsuwa knows the system calls of x86_64 and aarch64 only"
#endif

#define SYS_CHOOSE(_1, _2, _3, _4, _5, _6, _7, name, ...) name
#define SYS1(n) syscall6((n), 0, 0, 0, 0, 0, 0)
#define SYS2(n, a) syscall6((n), (long)(a), 0, 0, 0, 0, 0)
#define SYS3(n, a, b) syscall6((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS4(n, a, b, c) syscall6((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS5(n, a, b, c, d) syscall6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS6(n, a, b, c, d, e) syscall6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS7(n, a, b, c, d, e, f) syscall6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* sys(openat, dir, "x", O_PATH, 0): the raw system call with one to six arguments of any scalar or pointer type. */
#define sys(name, ...) SYS_CALL(__NR_##name, ##__VA_ARGS__)
#define SYS_CALL(...) SYS_CHOOSE(__VA_ARGS__, SYS7, SYS6, SYS5, SYS4, SYS3, SYS2, SYS1)(__VA_ARGS__)

__attribute__((noreturn)) static inline void leave(int status)
{
	for (;;)
		sys(exit_group, status);
}

size_t length(const char *text);
int same(const char *one, const char *other);
int starts(const char *text, const char *prefix);
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *one, const void *other, size_t size);

#endif
