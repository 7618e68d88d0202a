/* Start: map the plan, close what does not belong here, then one op after the other. */
#include "init.h"
#include <linux/mman.h>
#include <linux/close_range.h>
#include <linux/prctl.h>

#define WANTED_LIMIT (4096 + SLOTS_LIMIT + 1)

static struct run run;

/* -fstack-protector-strong compares against this one; the kernel gives 16 random bytes for it. */
u64 __stack_chk_guard;

__attribute__((noreturn)) void __stack_chk_fail(void)
{
	__builtin_trap();
}

int fail(struct run *run, int error, enum detail detail)
{
	run->detail = detail;
	return error;
}

int fail_value(struct run *run, int error, enum detail detail, s64 value)
{
	run->value = value;
	return fail(run, error, detail);
}

/* Memory that is never given back: from a small static pool, from the kernel when that is used up. NULL when there is none. */
void *arena(size_t size)
{
	static u8 pool[16384] __attribute__((aligned(16)));
	static size_t used;
	size = (size + 15) & ~15UL;
	if (size <= sizeof pool - used) {
		used += size;
		return pool + used - size;
	}
	long at = sys(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	return at < 0 && at > -4096 ? NULL : (void *)at;
}

static void sort(int *numbers, u64 count)
{
	for (u64 i = 1; i < count; i++) {
		int number = numbers[i];
		u64 at = i;
		for (; at && numbers[at - 1] > number; at--)
			numbers[at] = numbers[at - 1];
		numbers[at] = number;
	}
}

/* Closes all descriptors but 0-2, the channel, those to keep and those named by ops; the survivors get O_CLOEXEC. */
static int close_strangers(struct run *run)
{
	static int wanted[WANTED_LIMIT];
	u64 count = 0;
	wanted[count++] = run->channel;
	for (u64 i = 0; i < run->keep.count; i++)
		wanted[count++] = (int)((const u64 *)run->keep.at)[i];
	for (u32 i = 0; i < run->slot_count; i++)
		wanted[count++] = run->slots[i];
	sort(wanted, count);
	u32 from = 3;
	int error = 0;
	for (u64 i = 0; i < count && !error; i++) {
		u32 number = (u32)wanted[i];
		if (number > from)
			error = (int)sys(close_range, from, number - 1, 0);
		if (number >= from)
			from = number + 1;
	}
	if (!error)
		error = (int)sys(close_range, from, ~0U, 0);
	return error ? error : (int)sys(close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* A closed 0, 1 or 2 would be taken by the next open, and end up in the container as its stdio. */
static void fill_stdio(void)
{
	for (int i = 0; i < 3; i++)
		if (sys(fcntl, i, F_GETFD, 0) == -EBADF)
			sys(openat, AT_FDCWD_, "/dev/null", O_RDWR, 0);
}

/* Python asks for defaults, but the C library's posix_spawn lets its child ignore the two signals it keeps for itself. */
static void reset_hidden_signals(void)
{
	static const u64 defaults[4]; /* the kernel's struct sigaction: handler, flags, restorer, mask */
	for (int signal = 32; signal <= 33; signal++)
		sys(rt_sigaction, signal, defaults, NULL, sizeof(u64));
}

static int run_op(struct run *run, u32 code, struct cursor *fields)
{
	switch (code) {
#define OP(name, number, types, names) \
	case number:                   \
		return op_##name(run, fields);
#include "ops.def"
	}
	return -EINVAL;
}

/* Directories that ops hold open for the next one (in_root.c, op_namespace.c) are what their paths lead to as long as these do it. */
static void let_go(struct run *run, u32 next)
{
	switch (next) {
	case OP_MOUNT:
	case OP_BIND:
	case OP_REMOUNT:
	case OP_MKNOD:
	case OP_SYMLINK:
	case OP_MKDIR:
	case OP_REOPEN_NULL:
	case OP_WRITE_CGROUP:
		return;
	}
	let_go_of_parent(run);
	close_fd(run->host);
	run->host = -1;
}

static void run_plan(struct run *run)
{
	const u8 *at = run->ops;
	for (run->index = 0; run->index < run->op_count; run->index++) {
		if (run->renewed) {
			run->renewed = 0;
			at = run->ops;
		}
		const struct op *op = (const struct op *)at;
		struct cursor fields = {at + sizeof *op};
		at = fields.at + op->size;
		run->detail = DETAIL_NONE;
		run->value = 0;
		let_go(run, op->code);
		int error = run_op(run, op->code, &fields);
		if (error < 0) {
			report_failure(run, error);
			await_deputy(run);
			leave(1);
		}
	}
}

static int map_plan(int descriptor, const u8 **plan, u64 *size)
{
	struct stat status;
	int error = status_of(descriptor, &status);
	if (error)
		return error;
	long at = sys(mmap, NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0L);
	if (at < 0 && at > -4096)
		return (int)at;
	*plan = (const u8 *)at;
	*size = (u64)status.st_size;
	return 0;
}

/* The descriptor that our argument names; a container that executes /proc/1/exe, or has it as interpreter, names none. */
static int plan_number(const char *text)
{
	int number = 0;
	for (; *text >= '0' && *text <= '9' && number < 100000000; text++)
		number = number * 10 + *text - '0';
	return *text || number < 3 ? -1 : number;
}

/* What the plan so far has made of this process stays. */
int adopt_plan(struct run *run, int descriptor)
{
	const u8 *plan;
	u64 size;
	int error = map_plan(descriptor, &plan, &size), channel = run->channel;
	close_fd(descriptor);
	if (error)
		return error;
	run->slot_count = 0;
	error = check_plan(run, plan, size);
	run->channel = channel;
	if (error)
		return fail(run, error, DETAIL_BAD_PLAN);
	run->renewed = 1;
	run->index = ~0U; /* the next one is the first */
	return 0;
}

#if defined(__aarch64__)
/*
 * The compiler reaches the stack guard through the global offset table here, so that one entry needs what a dynamic linker
 * would do: the load address is added to the linked one. x86_64 has no relocations at all.
 */
extern const u8 __ehdr_start[] __attribute__((visibility("hidden")));
extern const u64 _DYNAMIC[] __attribute__((visibility("hidden")));

__attribute__((optimize("no-stack-protector"))) static void relocate(void)
{
	u64 base = (u64)__ehdr_start, table = 0, size = 0;
	for (const u64 *at = _DYNAMIC; *at; at += 2) {
		if (*at == 7 /* DT_RELA */)
			table = base + at[1];
		if (*at == 8 /* DT_RELASZ */)
			size = at[1];
	}
	/* offset, type (R_AARCH64_RELATIVE, or -z text would have refused it), addend */
	for (const u64 *at = (const u64 *)table; size >= 24; at += 3, size -= 24)
		*(volatile u64 *)(base + at[0]) = base + at[2];
}
#else
static void relocate(void)
{
}
#endif

__attribute__((noreturn, used, optimize("no-stack-protector"))) void entry(u64 *stack)
{
	relocate();
	u64 argc = *stack;
	char **argv = (char **)(stack + 1);
	u64 *aux = stack + argc + 2;
	const u8 *plan;
	u64 size;
	while (*aux++)
		;
	for (; *aux; aux += 2)
		if (*aux == 25 /* AT_RANDOM: sixteen bytes, anywhere */) {
			memcpy(&__stack_chk_guard, (const void *)aux[1], sizeof __stack_chk_guard);
			__stack_chk_guard &= ~0xffULL;
		}
	run.channel = run.root = run.parent = run.host = run.null = run.empty = run.proc = run.new_proc = run.cgroup = run.deputy = -1;
	if (argc != 2 || map_plan(plan_number(argv[1]), &plan, &size))
		leave(2);
	int error = check_plan(&run, plan, size);
	if (error) {
		if (run.channel >= 0) {
			fail(&run, error, DETAIL_BAD_PLAN);
			report_failure(&run, error);
		}
		leave(2);
	}
	fill_stdio();
	error = close_strangers(&run);
	if (error) {
		report_failure(&run, error);
		leave(1);
	}
	reset_hidden_signals();
	run.old_umask = (u32)sys(umask, 0);
	sys(prctl, PR_SET_NAME, "utsuwa-init", 0, 0, 0);
	run_plan(&run);
	leave(0);
}

START_CODE(entry);
