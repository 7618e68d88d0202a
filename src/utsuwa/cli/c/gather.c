/*
 * Brings together in the image what starts write to, so that a start can copy it in one piece.
 *
 * Python writes to what it looks at: reference counts, the caches of its byte code. What one start looks at is a tenth of all
 * blocks, on a quarter of all pages. Which blocks these are shows when each has pages of its own. So the image is made three
 * times: with blocks where they happen to be, to learn which pages are written to; with each block of these pages alone on
 * its own, to learn which blocks are; and with those side by side. A block is known by its size and by how many of that size
 * came before it in the same chapter, which is about one module that is imported, or one act that is played. Where that
 * differs from one time to the next, a start takes some more faults, and nothing else changes.
 */
#include "embedded.h"
#include <stdint.h>
#include <stdio.h>

enum stage { ANYWHERE, ALONE, TOGETHER };

struct known {
	uint64_t key; /* 0: nobody */
	unsigned char kinds, placed;
};

/* Nothing of this is in the image but the allocator: it points to the C library's memory. */
static struct {
	enum stage stage;
	struct known *table; /* of the blocks that get another place, by their keys */
	size_t size;	     /* a power of two */
	char *next[1 << KINDS]; /* where the next block of these kinds of starts goes; the first one is for all that are ALONE */
	uint64_t *owners;    /* the key of the block that was last put at each 16 bytes of the heap, or on each page of the zone */
	uint32_t chapter, counts[1 << 16];
	int nested;
} *state;
static PyMemAllocatorEx python; /* how Python takes memory when nobody interferes */
struct group groups[1 << KINDS];

static struct known *find(uint64_t key)
{
	size_t at = (size_t)(key * 0x9e3779b97f4a7c15ul) >> 20;
	struct known *known;
	for (;; at++) {
		known = state->table + (at & (state->size - 1));
		if (!known->key || known->key == key)
			return known;
	}
}

#define SIZE_OF(key) ((size_t)((key) >> 36)) /* 28 bits; then 12 of the chapter, and 24 of the count */

static uint64_t key_of(size_t size)
{
	size_t bucket = size < sizeof state->counts / 4 ? size : sizeof state->counts / 4 - 1;
	return (uint64_t)size << 36 | (uint64_t)(state->chapter & 0xfff) << 24 | (++state->counts[bucket] & 0xffffff);
}

void gather_chapter(void)
{
	state->chapter++;
	memset(state->counts, 0, sizeof state->counts);
}

/* Which starts the block is for, as an index of groups[]: one that all copy is for nobody else in particular. */
static int group_of(const struct known *known)
{
	return known->kinds & 1 << EVERY ? 1 << EVERY : known->kinds;
}

/* The place that has been found for a block; NULL when it may be anywhere. */
static void *place(uint64_t key)
{
	size_t size = SIZE_OF(key);
	struct known *known = state->stage == ANYWHERE ? NULL : find(key);
	if (!known || !known->key || known->placed)
		return NULL;
	size_t unit = state->stage == ALONE ? PAGE : 16, room = (size + unit - 1) / unit * unit + (size ? 0 : unit);
	char **next = &state->next[state->stage == ALONE ? 0 : group_of(known)], *block = *next;
	if (block + room > ZONE + ZONE_SIZE)
		return NULL;
	known->placed = 1; /* there is room for each once */
	*next += room;
	if (state->stage == ALONE)
		for (size_t page = (size_t)(block - ZONE) / PAGE; page < (size_t)(*next - ZONE) / PAGE; page++)
			state->owners[page] = key;
	return block;
}

static char *groups_end(void)
{
	const struct group *last = groups + (1 << KINDS) - 1;
	return last->at + last->size; /* they follow each other */
}

static void *noted(void *block, uint64_t key)
{
	if (state->stage == ANYWHERE && in_heap(block))
		state->owners[((char *)block - HEAP) / 16] = key;
	return block;
}

/* How much of a block in the zone can be read, when `size` bytes are wanted: nobody knows how large it is, and what is behind it
 * does no harm. In a start nothing is mapped behind the last group.
 */
size_t gather_room(void *block, size_t size)
{
	size_t room = (size_t)((frozen.thawed ? groups_end() : ZONE + ZONE_SIZE) - (char *)block);
	return size < room ? size : room;
}

/* --- the C library's callers, see __wrap_malloc ------------------------------------------------------------------- */

uint64_t gather_key(size_t size)
{
	return state && !state->nested ? key_of(size) : 0;
}

void *gather_place(uint64_t key)
{
	return key ? place(key) : NULL;
}

void *gather_note(void *block, uint64_t key)
{
	return key ? noted(block, key) : block;
}

/* --- Python's own -------------------------------------------------------------------------------------------------- */

static void *make(void *context, size_t size)
{
	uint64_t key = key_of(size);
	void *block = place(key);
	if (block)
		return block;
	state->nested++;
	block = python.malloc(context, size);
	state->nested--;
	return noted(block, key);
}

static void *make_zeroed(void *context, size_t count, size_t size)
{
	uint64_t key = key_of(count * size);
	void *block = place(key); /* of memory that was never used */
	if (block)
		return block;
	state->nested++;
	block = python.calloc(context, count, size);
	state->nested--;
	return noted(block, key);
}

static void *resize(void *context, void *block, size_t size)
{
	if (!block)
		return make(context, size);
	uint64_t key = key_of(size);
	void *placed = place(key), *moved;
	state->nested++;
	if (in_zone(block)) {
		moved = placed ? placed : python.malloc(context, size);
		if (moved)
			memcpy(moved, block, gather_room(block, size));
	} else {
		moved = python.realloc(context, block, size);
		if (moved && placed) {
			memcpy(placed, moved, size);
			python.free(context, moved);
			moved = placed;
		}
	}
	state->nested--;
	return moved == placed ? moved : noted(moved, key);
}

static void give_back(void *context, void *block)
{
	if (!in_zone(block))
		python.free(context, block);
}

/* What `resize` is in a start: what stands in the zone leaves it. */
static void *resize_later(void *context, void *block, size_t size)
{
	if (!in_zone(block))
		return python.realloc(context, block, size);
	void *moved = python.malloc(context, size);
	if (moved)
		memcpy(moved, block, gather_room(block, size));
	return moved;
}

/* --- from one time to the next ------------------------------------------------------------------------------------- */

static void *need(size_t size)
{
	void *memory = __real_calloc(size, 1);
	if (!memory)
		Py_FatalError("no memory to make the image");
	return memory;
}

/* Begin: `list` is what the time before has left, or "-". In front of the blocks stands for which stage they are. */
void gather_begin(const char *list)
{
	uint64_t stage = ANYWHERE, entry[2];
	size_t bytes[1 << KINDS] = {0};
	state = need(sizeof *state);
	state->nested = 1; /* what this takes itself is nobody's block */
	FILE *file = strcmp(list, "-") ? fopen(list, "rb") : NULL;
	if (file && (fread(&stage, sizeof stage, 1, file) != 1 || fseek(file, 0, SEEK_END)))
		Py_FatalError("the list of blocks can't be read");
	state->stage = (enum stage)stage;
	for (state->size = 1; file && state->size < (size_t)ftell(file) / sizeof entry * 2 + 2;)
		state->size *= 2;
	state->table = need(state->size * sizeof *state->table);
	state->owners = need(sizeof *state->owners * (stage == ANYWHERE ? HEAP_SIZE / 16 : ZONE_SIZE / PAGE));
	if (file && fseek(file, sizeof stage, SEEK_SET) == 0)
		while (fread(entry, sizeof entry, 1, file) == 1) {
			struct known *known = find(entry[0]);
			*known = (struct known){entry[0], (unsigned char)entry[1], 0};
			bytes[group_of(known)] += (SIZE_OF(entry[0]) + 31) & ~15ul;
		}
	if (file)
		fclose(file);
	char *at = state->next[0] = ZONE;
	for (int kinds = 1; stage == TOGETHER && kinds < 1 << KINDS; kinds++) {
		groups[kinds] = (struct group){at, (bytes[kinds] + PAGE - 1) & ~(PAGE - 1), 0};
		state->next[kinds] = at;
		at += groups[kinds].size;
	}
	state->nested = 0;
	PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &python);
	PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &(PyMemAllocatorEx){python.ctx, make, make_zeroed, resize, give_back});
	PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &(PyMemAllocatorEx){python.ctx, make, make_zeroed, resize, give_back});
}

/* The memory of the zone that is in use. */
size_t gather_used(void)
{
	char *end = groups_end();
	if (state->stage == ALONE)
		end = state->next[0];
	return (size_t)(end - ZONE);
}

static void leave(FILE *file, uint64_t key, unsigned kinds)
{
	uint64_t entry[] = {key, kinds};
	fwrite(entry, sizeof entry, 1, file);
}

/* Leaves nothing free between Python's blocks, where what a start takes would be spread over the image again. */
void gather_fill(void)
{
	int enabled = PyGC_Enable(), thawed = frozen.thawed;
	PyGC_Collect(); /* empties the lists of free tuples and the like, too */
	if (!enabled)
		PyGC_Disable();
	frozen.full = 1;
	frozen.thawed = 0;
	for (size_t size = 16; size <= 512; size += 16)
		while (python.malloc(python.ctx, size))
			;
	frozen.full = 0;
	frozen.thawed = thawed;
}

/* End: leave the list for the next time, by the kinds of starts that write to each page; 0 on the last one. */
int gather_end(const char *list)
{
	uint64_t stage = state->stage + 1;
	PyMemAllocatorEx later = {python.ctx, python.malloc, python.calloc, resize_later, give_back};
	PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &later);
	PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &later);
	if (stage > TOGETHER) {
		gather_fill();
		return 0;
	}
	FILE *file = fopen(list, "wb");
	if (!file)
		Py_FatalError("the list of blocks can't be written");
	fwrite(&stage, sizeof stage, 1, file);
	for (size_t at = 0; stage == ALONE && at < HEAP_SIZE / 16; at++) {
		char *block = HEAP + at * 16, *end = block + SIZE_OF(state->owners[at]);
		for (char *page = block - (size_t)block % PAGE; state->owners[at] && page < end; page += PAGE)
			if (kinds_of(page)) {
				leave(file, state->owners[at], 0);
				break;
			}
	}
	for (size_t page = 0; stage == TOGETHER && page < gather_used() / PAGE;) {
		uint64_t key = state->owners[page];
		unsigned kinds = 0;
		for (; page < gather_used() / PAGE && state->owners[page] == key; page++)
			kinds |= kinds_of(ZONE + page * PAGE);
		if (kinds)
			leave(file, key, kinds);
	}
	return fclose(file) ? -1 : 1;
}
