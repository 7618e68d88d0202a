/*
 * Starts `urun` from the image behind its own program (embedded.h), or, where there is none that fits, as the plain
 * interpreter: a source file has changed since, memory is elsewhere than the image needs it.
 */
#define Py_BUILD_CORE 1
#include "embedded.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MADV_POPULATE_WRITE_ 23 /* Linux 5.14 */

extern char **environ;
unsigned long *initial_stack;

/* --- is there an image, and is it current? ------------------------------------------------------------------------ */

/* Fills `table` and gives the offset of the image in `file`; 0 when there is none. */
static off_t find_image(int file, char *table)
{
	struct stat status;
	struct trailer trailer;
	if (fstat(file, &status) < 0 ||
	    pread(file, &trailer, sizeof trailer, status.st_size - (off_t)sizeof trailer) != (ssize_t)sizeof trailer ||
	    memcmp(trailer.magic, MAGIC, sizeof trailer.magic))
		return 0;
	struct image *image = (struct image *)table;
	ssize_t size = pread(file, table, 4 * PAGE, trailer.offset);
	if (size < (ssize_t)sizeof *image || memcmp(image->magic, MAGIC, sizeof image->magic) ||
	    image->table_size > TABLE_LIMIT)
		return 0;
	if (size < (ssize_t)image->table_size &&
	    pread(file, table, image->table_size, trailer.offset) != (ssize_t)image->table_size)
		return 0;
	return trailer.offset;
}

/* Whether all source files are still what they were when the image was made. They are sorted by directories, each of which is
 * walked to once. Cuts the paths in the table. */
static int is_current(char *table)
{
	const struct image *image = (const struct image *)table;
	char *stamp = table + image->table_size - image->stamps_size, *end = table + image->table_size;
	const char *before = "";
	int directory = -1, current = 1;
	while (stamp < end && current) {
		unsigned long expected[2];
		struct stat status;
		memcpy(expected, stamp, sizeof expected);
		char *path = stamp + sizeof expected, *name = strrchr(path, '/');
		*name++ = 0;
		if (strcmp(path, before)) {
			if (directory >= 0)
				close(directory);
			directory = open(before = path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		}
		current = fstatat(directory, name, &status, 0) == 0 && (unsigned long)status.st_size == expected[1] &&
			  (unsigned long)status.st_mtim.tv_sec * 1000000000ul + (unsigned long)status.st_mtim.tv_nsec == expected[0];
		stamp = name + strlen(name) + 1;
	}
	if (directory >= 0)
		close(directory);
	return current;
}

/* --- waking up ---------------------------------------------------------------------------------------------------- */

static int map_image(int file, const char *table, off_t offset)
{
	const struct image *image = (const struct image *)table;
	const struct stretch *stretch = (const struct stretch *)(image + 1), *end = stretch + image->stretches;
	const struct group *last = image->groups + (1 << KINDS) - 1;
	if (mmap(HEAP, (size_t)(last->at + last->size - HEAP), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != HEAP)
		return -1;
	for (; stretch < end; stretch++)
		if (stretch->size % PAGE) {
			if (pread(file, stretch->at, stretch->size, offset + stretch->offset) != (ssize_t)stretch->size)
				return -1;
		} else if (mmap(stretch->at, stretch->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file,
				offset + stretch->offset) != stretch->at)
			return -1;
	return 0;
}

/* The first word that says it; `urun` has global options before its verb. */
static int kind_of_start(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int kind;
	} verbs[] = {{"run", RUN},	{"create", RUN}, {"start", RUN}, {"exec", EXEC}, {"ps", ASK}, {"images", ASK},
		     {"inspect", ASK}, {"kill", ASK},	{"rm", ASK},	{"stop", ASK}};
	for (int i = 1; i < argc; i++)
		for (size_t each = 0; each < sizeof verbs / sizeof *verbs; each++)
			if (!strcmp(argv[i], verbs[each].verb))
				return verbs[each].kind;
	return EVERY;
}

/* Copies what is going to be written to: a fault for each page would take twice as long. */
static int copy_written(int file, const char *table, off_t offset, int kind)
{
	const struct image *image = (const struct image *)table;
	const struct stretch *written = (const struct stretch *)(image + 1) + image->stretches;
	for (unsigned kinds = 0; kinds < 1 << KINDS; kinds++) {
		const struct group *group = image->groups + kinds;
		int ours = (kinds & (1u << kind | 1u << EVERY)) != 0;
		if (!group->size)
			continue;
		if (mmap(group->at, group->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_FIXED | (ours ? MAP_ANONYMOUS | MAP_POPULATE : 0), ours ? -1 : file,
			 ours ? 0 : offset + group->offset) != group->at ||
		    (ours && pread(file, group->at, group->size, offset + group->offset) != (ssize_t)group->size))
			return -1;
	}
	for (int each = EVERY; each <= kind; written += image->written[each++])
		for (size_t i = 0; (each == EVERY || each == kind) && i < image->written[each]; i++)
			madvise(written[i].at, written[i].size, MADV_POPULATE_WRITE_); /* if it fails, faults do it */
	return 0;
}

/* What belongs to the process: its thread, its thread-specific slot, and how Python programs treat two signals. */
static void mend(void)
{
	PyThreadState *thread = frozen.thread;
	thread->thread_id = PyThread_get_thread_ident();
	thread->native_thread_id = (unsigned long)syscall(SYS_gettid);
	_PyRuntime.main_thread = thread->thread_id;
	_PyRuntime.gilstate.autoTSSkey = (Py_tss_t)Py_tss_NEEDS_INIT;
	if (PyThread_tss_create(&_PyRuntime.gilstate.autoTSSkey) ||
	    PyThread_tss_set(&_PyRuntime.gilstate.autoTSSkey, thread))
		Py_FatalError("no thread-specific slot");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* posix.environ, as its module makes it: the first of equal names counts, what has no "=" is left out. */
static int fill_environ(void)
{
	for (char **each = environ; each && *each; each++) {
		const char *equals = strchr(*each, '=');
		if (!equals)
			continue;
		PyObject *name = PyBytes_FromStringAndSize(*each, equals - *each), *value = PyBytes_FromString(equals + 1);
		if (!name || !value || !PyDict_SetDefault(frozen.environ, name, value))
			return -1;
		Py_DECREF(name);
		Py_DECREF(value);
	}
	return 0;
}

static int set_arguments(int argc, char **argv)
{
	PyObject *words = PyList_New(argc);
	for (int i = 0; words && i < argc; i++) {
		PyObject *word = PyUnicode_DecodeFSDefault(argv[i]);
		if (!word)
			return -1;
		PyList_SET_ITEM(words, i, word);
	}
	return words ? PySys_SetObject("argv", words) : -1;
}

static int call(int argc, char **argv, const char *home)
{
	PyObject *result = NULL;
	if (!fill_environ() && !set_arguments(argc, argv))
		result = PyObject_CallFunction(frozen.entry, "y", home);
	if (!result)
		PyErr_Print();
	return result == NULL;
}

int main(int argc, char **argv)
{
	static char table[TABLE_LIMIT] __attribute__((aligned(8)));
	initial_stack = (unsigned long *)argv - 1;
	/* a standard stream that the caller has closed would be the first file that somebody opens */
	for (int stream = 0; stream < 3; stream++)
		if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			break; /* no /dev: then it is as it is */
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t offset = file < 0 ? 0 : find_image(file, table);
	if (!offset && argc > 1 && !strcmp(argv[1], "--make-image"))
		return make_image(argc, argv);
	const char *home = find_home(initial_stack); /* "": the plain launcher asks the installation's interpreter */
	if (!offset || !*home || sysconf(_SC_PAGESIZE) != (long)PAGE || !is_current(table) ||
	    map_image(file, table, offset) < 0 || copy_written(file, table, offset, kind_of_start(argc, argv)) < 0)
		launch(initial_stack);
	close(file);
	mend();
	return call(argc, argv, home);
}
