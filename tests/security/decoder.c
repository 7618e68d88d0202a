/*
 * The decoder of plans as a program with a C library, for the sanitizers of the compiler: reads plans, each behind its
 * size (64 bits), gives every one just the memory that it takes, and walks all fields of those that are accepted.
 */
#include "init.h"

extern void *malloc(size_t size);
extern void free(void *memory);
extern long read(int descriptor, void *memory, size_t size);
extern int printf(const char *format, ...);

void *arena(size_t size)
{
	return malloc(size);
}

static const char *signature(u32 code)
{
	switch (code) {
#define OP(name, number, types, fields) \
	case number:                    \
		return types;
#include "ops.def"
	}
	return "";
}

static u64 sum(const char *data, u64 size)
{
	u64 total = 0;
	for (u64 i = 0; i < size; i++)
		total += (u8)data[i];
	return total;
}

static u64 field(struct cursor *fields, char type)
{
	if (type == 'u' || type == 'f')
		return take(fields);
	if (type == 'n') {
		struct list numbers = take_numbers(fields);
		return sum((const char *)numbers.at, numbers.count * 8);
	}
	if (type == 'l') {
		char **texts = vector_of(take_list(fields), 1);
		u64 total = 0;
		for (char **text = texts; *text; text++)
			total += (u8)**text;
		free(texts);
		return total;
	}
	struct bytes bytes = take_bytes(fields);
	return sum(bytes.data, bytes.size + 1);
}

static u64 walk(const struct run *run)
{
	u64 total = run->birthplace ? (u8)*run->birthplace : 0;
	const u8 *at = run->ops;
	for (u64 i = 0; i < run->op_count; i++) {
		const struct op *op = (const struct op *)at;
		struct cursor fields = {at + sizeof(struct op)};
		for (const char *types = signature(op->code); *types; types++)
			total += field(&fields, *types);
		at += sizeof(struct op) + op->size;
		if (fields.at != at)
			__builtin_trap(); /* reading and checking disagree about where the operation ends */
	}
	return total;
}

static int whole(void *memory, u64 size)
{
	char *at = memory;
	for (long got; size; at += got, size -= (u64)got)
		if ((got = read(0, at, size)) <= 0)
			return 0;
	return 1;
}

int main(void)
{
	u64 size, accepted = 0, refused = 0, total = 0;
	while (whole(&size, sizeof size)) {
		u8 *plan = malloc(size);
		if (!plan || !whole(plan, size))
			return 2;
		struct run run = {.channel = -1};
		if (check_plan(&run, plan, size))
			refused++;
		else {
			total += walk(&run);
			accepted++;
		}
		free(plan);
	}
	printf("%lu %lu %lu\n", (unsigned long)accepted, (unsigned long)refused, (unsigned long)total);
	return 0;
}
