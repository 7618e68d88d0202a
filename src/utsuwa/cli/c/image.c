/*
 * Makes the image: runs a Python script in a fresh interpreter whose memory is all known, and writes down what differs
 * from the program's own file. Only while building; the allocator below stays in use, to know the image's blocks.
 */
#define Py_BUILD_CORE 1
#include "embedded.h"
#include "internal/pycore_runtime.h"
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define GAP (8 * PAGE) /* unchanged memory between stretches that is cheaper to write than to leave out */

struct frozen frozen;

/* --- memory: a heap of our own until the image is made, and the C library's after -------------------------------- */

/* Blocks of the heap have their size in front of them; free ones of about a size are linked. */
static void *vacant[64 * 4];

/* Which list: four for each power of two. Rounds the size up to what all blocks of the list have. */
static void **list_of(size_t *size)
{
	unsigned power = 4;
	while ((16ul << (power - 4)) * 2 <= *size)
		power++;
	size_t quarter = (1ul << power) / 4, step = quarter < 16 ? 16 : quarter;
	*size = *size ? (*size + step - 1) / step * step : step;
	return &vacant[power * 4 + (*size - (1ul << power)) / quarter];
}

static void *take(size_t size, size_t align)
{
	void **list = list_of(&size);
	if (*list && align == 16) {
		void *block = *list;
		memcpy(list, block, sizeof *list);
		return block;
	}
	char *block = (char *)(((size_t)frozen.next + sizeof(size_t) + align - 1) & ~(align - 1));
	if (block + size > HEAP + HEAP_SIZE)
		return NULL;
	((size_t *)block)[-1] = size;
	frozen.next = block + size;
	return block;
}

/* The linker lets everybody call these for malloc and its companions (--wrap): CPython takes some of what lives as long
 * as the process from the C library, whatever allocator it is told to use. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

void *__wrap_malloc(size_t size)
{
	if (!frozen.next || frozen.thawed)
		return __real_malloc(size);
	if (frozen.full)
		return NULL;
	uint64_t key = gather_key(size);
	void *block = gather_place(key);
	return block ? block : gather_note(take(size, 16), key);
}

void *__wrap_calloc(size_t count, size_t size)
{
	if (!frozen.next || frozen.thawed)
		return __real_calloc(count, size);
	void *block = size && count > HEAP_SIZE / size ? NULL : __wrap_malloc(count * size);
	return block ? memset(block, 0, count * size) : NULL;
}

void __wrap_free(void *block)
{
	if (in_zone(block))
		return;
	if (!in_heap(block)) {
		__real_free(block);
	} else if (!frozen.thawed) {
		size_t size = ((size_t *)block)[-1];
		void **list = list_of(&size);
		memset(block, 0, size); /* the image holds nothing but what it needs */
		memcpy(block, list, sizeof *list);
		*list = block;
	}
}

void *__wrap_realloc(void *block, size_t size)
{
	if (!block)
		return __wrap_malloc(size);
	if (!in_heap(block) && !in_zone(block))
		return __real_realloc(block, size);
	size_t before = in_zone(block) ? gather_room(block, size) : ((size_t *)block)[-1];
	if (size <= before && !in_zone(block))
		return block;
	void *moved = __wrap_malloc(size);
	if (moved) {
		memcpy(moved, block, before);
		__wrap_free(block);
	}
	return moved;
}

static void *arena_alloc(void *context, size_t size)
{
	(void)context;
	if (!frozen.thawed)
		return frozen.full ? NULL : take(size, 4 * PAGE);
	/* close by: the table of Python's arenas has 128 KiB for each part of memory where there is one */
	static size_t before;
	void *arena = mmap(ZONE + ZONE_SIZE + before, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	before += size;
	return arena == MAP_FAILED ? NULL : arena;
}

static void arena_free(void *context, void *arena, size_t size)
{
	(void)context;
	if (!in_heap(arena))
		munmap(arena, size);
}

/* --- what Python code gets to know of the program ------------------------------------------------------------------ */

static PyObject *plain(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	launch(initial_stack);
}

/* The signals that whoever started us ignores: Python asks while it is initialised, which was another process. */
static PyObject *ignored(PyObject *module, PyObject *unused)
{
	PyObject *numbers = PyList_New(0);
	(void)module, (void)unused;
	for (int number = 1; numbers && number < NSIG; number++) {
		struct sigaction action;
		if (number == SIGPIPE || number == SIGXFSZ || sigaction(number, NULL, &action) || action.sa_handler != SIG_IGN)
			continue;
		PyObject *word = PyLong_FromLong(number);
		if (!word || PyList_Append(numbers, word) < 0)
			Py_CLEAR(numbers);
		Py_XDECREF(word);
	}
	return numbers;
}

/* Which pages the rehearsals write to, with a bit for each kind of start that does. A start copies these at once, which
 * costs a third of the faults, and a tenth of those on pages that were read before. */
static struct area {
	char *begin, *end;
	unsigned char *written; /* the bits of each page; not in the image, as the C library's memory is not */
} areas[4];

/* areas(): (address, size) of all memory that may come to be part of the image. */
static PyObject *list_areas(PyObject *module, PyObject *unused)
{
	char *runtime = (char *)&_PyRuntime;
	(void)module, (void)unused;
	if (!areas[0].written) {
		areas[0] = (struct area){data_begin, data_end, NULL};
		areas[1] = (struct area){runtime + PAGE - (size_t)runtime % PAGE,
					 runtime + sizeof _PyRuntime - (size_t)(runtime + sizeof _PyRuntime) % PAGE, NULL};
		areas[2] = (struct area){HEAP, HEAP + HEAP_SIZE, NULL};
		areas[3] = (struct area){ZONE, ZONE + ZONE_SIZE, NULL};
		for (struct area *area = areas; area < areas + 4; area++)
			area->written = __real_calloc((size_t)(area->end - area->begin) / PAGE, 1);
	}
	size_t used = ((size_t)(frozen.next - HEAP) + PAGE - 1) & ~(PAGE - 1);
	return Py_BuildValue("((nn)(nn)(nn)(nn))", areas[0].begin, areas[0].end - areas[0].begin, areas[1].begin,
			     areas[1].end - areas[1].begin, HEAP, used, ZONE, gather_used());
}

/* note(kind, address): starts of this kind write to the page. */
static PyObject *note(PyObject *module, PyObject *words)
{
	int kind;
	char *page;
	(void)module;
	if (!PyArg_ParseTuple(words, "in", &kind, &page))
		return NULL;
	for (struct area *area = areas; area < areas + 4; area++)
		if (area->written && page >= area->begin && page < area->end)
			area->written[(size_t)(page - area->begin) / PAGE] |= (unsigned char)(1 << kind);
	Py_RETURN_NONE;
}

unsigned kinds_of(char *page)
{
	for (struct area *area = areas; area < areas + 4; area++)
		if (area->written && page >= area->begin && page < area->end)
			return area->written[(size_t)(page - area->begin) / PAGE];
	return 0;
}

/* chapter(): what comes now is the same every time the image is made, even if what came before was not. */
static PyObject *chapter(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	gather_chapter();
	Py_RETURN_NONE;
}

/* fill(): what is free of the image so far stays so. */
static PyObject *fill(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	gather_fill();
	Py_RETURN_NONE;
}

/* thaw(): take memory as a start does. */
static PyObject *thaw(PyObject *module, PyObject *unused)
{
	(void)module, (void)unused;
	frozen.thawed = 1;
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"areas", list_areas, METH_NOARGS, "While the image is made: address and size of what may come to be part of it."},
	{"note", note, METH_VARARGS, "While the image is made: a start of a kind writes to the page at an address."},
	{"chapter", chapter, METH_NOARGS, "While the image is made: count blocks anew."},
	{"fill", fill, METH_NOARGS, "While the image is made: leave nothing free of what has been taken so far."},
	{"thaw", thaw, METH_NOARGS, "While the image is made, in a child: take memory as a start does."},
	{"plain", plain, METH_NOARGS, "Start over as the plain interpreter, which can load everything. Does not return."},
	{"ignored", ignored, METH_NOARGS, "The numbers of the signals that were ignored when the program began."},
	{"call", (PyCFunction)(void (*)(void))call_function, METH_FASTCALL, "See utsuwa.linux.libc."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT, "_utsuwa", "The program around the embedded interpreter.", -1, methods, NULL, NULL, NULL, NULL,
};

static PyObject *initialise_module(void)
{
	return PyModule_Create(&definition);
}

/* --- the interpreter ---------------------------------------------------------------------------------------------- */

static void check(PyStatus status)
{
	if (PyStatus_Exception(status))
		Py_ExitStatusException(status);
}

/* Builtin modules that ask the C library's name services: a static program can't load these. */
static void leave_out(const char *one, const char *two, const char *three)
{
	struct _inittab *kept = PyImport_Inittab;
	for (struct _inittab *each = kept; each->name; each++)
		if (strcmp(each->name, one) && strcmp(each->name, two) && strcmp(each->name, three))
			*kept++ = *each;
	*kept = (struct _inittab){NULL, NULL};
}

/* As `python3 -I -S -X utf8`, with nothing looked up; no handlers: a start sets the two that Python programs expect. */
static void initialise(const char *python, const char *library, unsigned long seed)
{
	PyPreConfig before;
	PyPreConfig_InitIsolatedConfig(&before);
	before.utf8_mode = 1;
	before.configure_locale = before.coerce_c_locale = 0;
	check(Py_PreInitialize(&before));
	PyConfig config;
	PyConfig_InitIsolatedConfig(&config);
	config.site_import = config.install_signal_handlers = config.write_bytecode = 0;
	config.use_hash_seed = 1;
	config.hash_seed = seed;
	wchar_t **programs[] = {&config.program_name, &config.executable, &config.base_executable};
	wchar_t **prefixes[] = {&config.prefix, &config.exec_prefix, &config.base_prefix, &config.base_exec_prefix};
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		check(PyConfig_SetBytesString(&config, programs[i], python));
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
		check(PyConfig_SetString(&config, prefixes[i], L"/usr"));
	check(PyConfig_SetBytesString(&config, &config.stdlib_dir, library));
	check(PyConfig_SetString(&config, &config.platlibdir, L"lib"));
	config.module_search_paths_set = 1;
	check(PyWideStringList_Append(&config.module_search_paths, config.stdlib_dir));
	leave_out("pwd", "grp", "spwd");
	PyImport_AppendInittab("_utsuwa", initialise_module);
	PyImport_AppendInittab("_utsuwa_json", PyInit__utsuwa_json);
	check(Py_InitializeFromConfig(&config));
	PyConfig_Clear(&config);
}

/* Runs the script, which leaves `entry`, `environ` and `stamps` behind. */
static int run(const char *script, int argc, char **argv)
{
	PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__")), *words = PyList_New(0);
	for (int i = 0; i < argc; i++)
		if (PyList_Append(words, PyUnicode_DecodeFSDefault(argv[i])) < 0)
			return -1;
	PySys_SetObject("argv", words);
	FILE *file = fopen(script, "r");
	PyObject *done = file ? PyRun_FileEx(file, script, Py_file_input, names, names, 1) : PyErr_SetFromErrno(PyExc_OSError);
	if (done == NULL)
		return -1;
	frozen.entry = PyDict_GetItemString(names, "entry");
	frozen.environ = PyDict_GetItemString(names, "environ");
	frozen.stamps = PyDict_GetItemString(names, "stamps");
	frozen.thread = PyThreadState_Get();
	/* a start takes memory of its own for its frames, instead of writing to this in the image */
	frozen.thread->datastack_chunk = NULL;
	frozen.thread->datastack_top = frozen.thread->datastack_limit = NULL;
	return frozen.entry && frozen.environ && frozen.stamps ? 0 : -1;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static char *table; /* not in the image, as the C library's memory is not */
static FILE *out;
static off_t used = TABLE_LIMIT;

static void put(char *from, size_t size)
{
	struct image *image = (struct image *)table;
	struct stretch *stretch = (struct stretch *)(image + 1) + image->stretches++;
	if ((char *)(stretch + 1) > table + TABLE_LIMIT)
		Py_FatalError("too many stretches of changed memory");
	*stretch = (struct stretch){from, size, used};
	fseeko(out, used, SEEK_SET);
	fwrite(from, 1, size, out);
	used += (off_t)((size + PAGE - 1) & ~(PAGE - 1));
}

/* Puts the pages from `from` to `to` that differ from those at `before` (NULL: from zeros). */
static void put_changed(char *from, char *to, const char *before)
{
	static const char zeros[PAGE];
	char *begin = NULL, *end = NULL;
	for (char *page = from; page < to; page += PAGE) {
		if (!memcmp(page, before ? before + (page - from) : zeros, PAGE))
			continue;
		if (begin && page > end + GAP) {
			put(begin, (size_t)(end - begin));
			begin = NULL;
		}
		begin = begin ? begin : page;
		end = page + PAGE;
	}
	if (begin)
		put(begin, (size_t)(end - begin));
}

/* _PyRuntime has a section of its own, between data of the C library: its first and last page are not ours alone. */
static void put_runtime(void)
{
	char *begin = (char *)&_PyRuntime, *end = begin + sizeof _PyRuntime;
	char *first = (char *)(((size_t)begin + PAGE - 1) & ~(PAGE - 1)), *last = (char *)((size_t)end & ~(PAGE - 1));
	put(begin, (size_t)(first - begin));
	put(first, (size_t)(last - first));
	put(last, (size_t)(end - last));
}

static void put_group(struct group *group)
{
	group->offset = used;
	fseeko(out, used, SEEK_SET);
	fwrite(group->at, 1, group->size, out);
	used += (off_t)group->size;
}

static struct stretch *next_stretch(struct image *image)
{
	struct stretch *next = (struct stretch *)(image + 1) + image->stretches;
	for (int kind = EVERY; kind < KINDS; kind++)
		next += image->written[kind];
	if ((char *)(next + 1) > table + TABLE_LIMIT)
		Py_FatalError("too many stretches of memory");
	return next;
}

/* The pages that this kind of start writes to, but not every one, and some between them. Of the heap only the begin, where
 * Python's own tables are: the rest is hardly written to, and mapped by huge pages as long as it is not. */
static void put_written(struct image *image, int kind)
{
	for (struct area *area = areas; area < areas + 3; area++) { /* not the zone */
		struct stretch *last = NULL;
		char *end = area->begin == HEAP ? HEAP + HUGE : area->end;
		for (char *page = area->begin; page < end && area->written; page += PAGE) {
			unsigned char bits = area->written[(size_t)(page - area->begin) / PAGE];
			if (!(bits & 1 << kind) || (kind != EVERY && bits & 1 << EVERY))
				continue;
			if (!last || page > last->at + last->size + PAGE) {
				last = next_stretch(image);
				image->written[kind]++;
				last->at = page;
			}
			last->size = (size_t)(page + PAGE - last->at);
		}
	}
}

static int write_image(const char *path, const char *data)
{
	struct image *image = (struct image *)table;
	char *stamps;
	Py_ssize_t stamps_size;
	if (PyBytes_AsStringAndSize(frozen.stamps, &stamps, &stamps_size) < 0 || !(out = fopen(path, "wb")))
		return -1;
	frozen.thawed = 1; /* nothing may change from here on that is part of the image */
	memcpy(image->magic, MAGIC, sizeof image->magic);
	image->heap_end = frozen.next;
	put(HEAP, ((size_t)(frozen.next - HEAP) + HUGE - 1) & ~(HUGE - 1)); /* first, where the file can be mapped by such pieces */
	put_runtime();
	put_changed(data_begin, data_end, data);
	put_changed(bss_begin, bss_end, NULL);
	for (struct group *group = groups; group < groups + (1 << KINDS); group++)
		put_group(group);
	memcpy(image->groups, groups, sizeof image->groups);
	for (int kind = EVERY; kind < KINDS; kind++)
		put_written(image, kind);
	size_t begin = (size_t)((char *)next_stretch(image) - table);
	if (begin + (size_t)stamps_size > TABLE_LIMIT)
		Py_FatalError("too many stamps of source files");
	memcpy(table + begin, stamps, (size_t)stamps_size);
	image->stamps_size = (size_t)stamps_size;
	image->table_size = begin + (size_t)stamps_size;
	rewind(out);
	fwrite(table, 1, TABLE_LIMIT, out);
	return ferror(out) | fclose(out) ? -1 : 0;
}

/* PROGRAM --make-image OUT SCRIPT PYTHON LIBRARY SEED BLOCKS MODULES [argument of the script ...]: BLOCKS is what the time before
 * has left as OUT, or "-", see gather.c. The third time it is the image. For MODULES see modules.c. */
int make_image(int argc, char **argv)
{
	if (argc < 9 || sysconf(_SC_PAGESIZE) != (long)PAGE)
		return 2;
	size_t size = (size_t)(data_end - data_begin);
	char *data = malloc(size);
	table = calloc(1, TABLE_LIMIT);
	if (!data || !table || mmap(HEAP, HEAP_SIZE + ZONE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != HEAP)
		return 2;
	memcpy(data, data_begin, size);
	frozen.next = HEAP;
	PyObject_SetArenaAllocator(&(PyObjectArenaAllocator){NULL, arena_alloc, arena_free});
	give_modules(argv[8]);
	gather_begin(argv[7]);
	initialise(argv[4], argv[5], strtoul(argv[6], NULL, 10));
	int again = run(argv[3], argc - 9, argv + 9) < 0 ? -1 : gather_end(argv[2]);
	if (again < 0 || (!again && write_image(argv[2], data) < 0)) {
		PyErr_Print();
		return 1;
	}
	return 0;
}
