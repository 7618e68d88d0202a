/*
 * The wire form of a plan. Everything is checked once, before the first op runs: counts, sizes, padding, terminators,
 * and each op's fields against its signature in ops.def. The take_* functions then need no error path.
 */
#include "init.h"

#define MAGIC 0x314e414c50555455ULL /* "UTUPLAN1" */
#define KEEP_LIMIT 4096

struct window {
	const u8 *at, *end;
	struct run *run;
};

static const char *signature(u32 code)
{
	switch (code) {
#define OP(name, number, types, fields) \
	case number:                    \
		return types;
#include "ops.def"
	}
	return NULL;
}

static u64 peek(const u8 *at)
{
	return *(const u64 *)at; /* everything is 8-aligned and little endian, as both architectures are */
}

static int check_number(struct window *window, u64 *number)
{
	if (window->end - window->at < 8)
		return -EINVAL;
	if (number)
		*number = peek(window->at);
	window->at += 8;
	return 0;
}

static int check_bytes(struct window *window, int text)
{
	u64 size, padded;
	if (check_number(window, &size))
		return -EINVAL;
	u64 left = (u64)(window->end - window->at);
	if (size >= left)
		return -EINVAL;
	padded = (size + 8) & ~7ULL; /* at least one NUL */
	if (padded > left || window->at[size])
		return -EINVAL;
	if (text)
		for (u64 i = 0; i < size; i++)
			if (!window->at[i])
				return -EINVAL;
	window->at += padded;
	return 0;
}

static int check_list(struct window *window)
{
	u64 count;
	if (check_number(window, &count) || count > (u64)(window->end - window->at) / 16)
		return -EINVAL;
	while (count--)
		if (check_bytes(window, 1))
			return -EINVAL;
	return 0;
}

static int check_numbers(struct window *window)
{
	u64 count;
	if (check_number(window, &count) || count > (u64)(window->end - window->at) / 8)
		return -EINVAL;
	window->at += count * 8;
	return 0;
}

static int check_descriptor(struct window *window)
{
	u64 number;
	if (check_number(window, &number))
		return -EINVAL;
	if ((s64)number == -1)
		return 0;
	if (number > 0x7fffffff || window->run->slot_count == SLOTS_LIMIT)
		return -EINVAL;
	window->run->slots[window->run->slot_count++] = (int)number;
	return 0;
}

static int check_field(struct window *window, char type)
{
	switch (type) {
	case 'u':
		return check_number(window, NULL);
	case 'f':
		return check_descriptor(window);
	case 's':
		return check_bytes(window, 1);
	case 'b':
		return check_bytes(window, 0);
	case 'l':
		return check_list(window);
	case 'n':
		return check_numbers(window);
	}
	return -EINVAL;
}

static int check_op(struct run *run, struct window *window)
{
	if (window->end - window->at < (long)sizeof(struct op))
		return -EINVAL;
	struct op op = *(const struct op *)window->at;
	window->at += sizeof(struct op);
	const char *types = signature(op.code);
	if (!types || op.size % 8 || op.size > (u64)(window->end - window->at))
		return -EINVAL;
	struct window fields = {window->at, window->at + op.size, run};
	for (; *types; types++)
		if (check_field(&fields, *types))
			return -EINVAL;
	if (fields.at != fields.end)
		return -EINVAL;
	window->at = fields.end;
	run->masks |= op.code == OP_MASK;
	if (op.code == OP_CLONE) {
		struct cursor clone = {fields.end - op.size + 8}; /* behind the flags */
		run->birthplace = take_text(&clone);
	}
	return 0;
}

int check_plan(struct run *run, const u8 *plan, u64 size)
{
	struct window window = {plan, plan + size, run};
	u64 magic, count, channel;
	if (check_number(&window, &magic) || check_number(&window, &count) || check_number(&window, &channel))
		return -EINVAL;
	if (magic != MAGIC || channel < 3 || channel > 0x7fffffff)
		return -EINVAL;
	run->channel = (int)channel; /* known now: anything broken below can be reported */
	struct cursor keep = {window.at};
	if (check_numbers(&window))
		return -EINVAL;
	run->keep = take_numbers(&keep);
	if (run->keep.count > KEEP_LIMIT)
		return -EINVAL;
	for (u64 i = 0; i < run->keep.count; i++)
		if (((const u64 *)run->keep.at)[i] > 0x7fffffff)
			return -EINVAL;
	run->ops = window.at;
	run->op_count = count;
	for (run->index = 0; run->index < count; run->index++)
		if (check_op(run, &window))
			return -EINVAL;
	run->index = 0;
	return window.at == window.end ? 0 : -EINVAL;
}

u64 take(struct cursor *fields)
{
	u64 number = peek(fields->at);
	fields->at += 8;
	return number;
}

struct bytes take_bytes(struct cursor *fields)
{
	u64 size = take(fields);
	struct bytes bytes = {.size = size, .data = (const char *)fields->at};
	fields->at += (bytes.size + 8) & ~7ULL;
	return bytes;
}

const char *take_text(struct cursor *fields)
{
	return take_bytes(fields).data;
}

const char *next_text(const u8 **at)
{
	struct cursor cursor = {*at};
	const char *text = take_text(&cursor);
	*at = cursor.at;
	return text;
}

struct list take_list(struct cursor *fields)
{
	u64 count = take(fields);
	struct list list = {.count = count, .at = fields->at};
	for (u64 i = 0; i < list.count; i++)
		next_text(&fields->at);
	return list;
}

struct list take_numbers(struct cursor *fields)
{
	u64 count = take(fields);
	struct list list = {.count = count, .at = fields->at};
	fields->at += list.count * 8;
	return list;
}

/* The list as argv or envp with `spare` more slots before its NULL; NULL when there is no memory. */
char **vector_of(struct list list, size_t spare)
{
	char **vector = arena((list.count + spare + 1) * sizeof(char *));
	if (!vector)
		return NULL;
	for (u64 i = 0; i < list.count; i++)
		vector[i] = (char *)next_text(&list.at);
	for (u64 i = list.count; i < list.count + spare + 1; i++)
		vector[i] = NULL;
	return vector;
}
