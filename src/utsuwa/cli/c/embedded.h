/*
 * `urun` with its interpreter inside: what embedded.c (starts) and image.c (makes what is started) agree upon.
 *
 * The program is linked statically, at fixed addresses, with the interpreter's library. While it is built it runs once:
 * initialises Python, imports the lean packages, and writes all memory that this has changed behind the program. A start
 * maps that memory where it was, mends what belongs to the process rather than to the program, and calls main().
 */
#ifndef UTSUWA_EMBEDDED_H
#define UTSUWA_EMBEDDED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define PAGE 4096ul /* what the image is cut into; bigger pages of the machine lead to the plain interpreter */
#define HUGE (2ul << 20) /* what the kernel maps of a file by one fault, if it is in one piece in the page cache */
#define HEAP ((char *)0x1000000000) /* above everything that the kernel places, on 39 bits of addresses too */
#define HEAP_SIZE (64ul << 20)
#define ZONE (HEAP + HEAP_SIZE) /* of what starts write to, see gather.c */
#define ZONE_SIZE (1ul << 30)
#define MAGIC "UTIMAGE2"
#define TABLE_LIMIT (64 * 1024)

/* A stretch of memory; `size` is a multiple of PAGE but at the edges of what is not aligned. */
struct stretch {
	char *at;
	size_t size;
	off_t offset; /* from the begin of the image */
};

/* Kinds of starts, by their verbs. What they write to is known: what all of them do, and what one kind does besides. */
enum { EVERY, RUN, EXEC, ASK, KINDS };

/* Part of the zone: what the same kinds of starts write to. The index in groups[] has a bit for each of them. */
struct group {
	char *at;
	size_t size;
	off_t offset;
};

/* The first bytes of the image. The stretches follow, then those (without an offset) that each kind of start writes to, and
 * then the stamps: mtime in ns and size as 8 bytes each, the path and a NUL. */
struct image {
	char magic[8];
	size_t table_size, stretches, written[KINDS], stamps_size;
	char *heap_end;
	struct group groups[1 << KINDS];
};

/* The last bytes of the program. */
struct trailer {
	char magic[8];
	off_t offset; /* of the image */
};

/* The allocator's state and the way into Python: part of the image. */
struct frozen {
	char *next; /* free memory of the heap begins here, as long as the image is being made */
	int thawed, full; /* it is a start; nothing more is given */
	PyThreadState *thread;
	PyObject *entry, *environ, *stamps;
};
extern struct frozen frozen;

extern unsigned long *initial_stack; /* argc, argv, envp, as the kernel left them */

/* From edges.c, which is linked first and last: what is between belongs to Python, what is outside to the C library. */
extern char data_begin[], data_end[], bss_begin[], bss_end[];

static inline int in_heap(void *block)
{
	return (char *)block >= HEAP && (char *)block < ZONE;
}

static inline int in_zone(void *block)
{
	return (char *)block >= ZONE && (char *)block < ZONE + ZONE_SIZE;
}

/* gather.c: where the blocks go, while the image is made. */
extern struct group groups[];
void gather_begin(const char *list);
uint64_t gather_key(size_t size);
void *gather_place(uint64_t key);
void *gather_note(void *block, uint64_t key);
size_t gather_room(void *block, size_t size);
size_t gather_used(void);
void gather_chapter(void);
void gather_fill(void);
int gather_end(const char *list);

/* image.c: the kinds of starts that write to a page; the C library's own. */
unsigned kinds_of(char *page);
void *__real_calloc(size_t count, size_t size);

/* modules.c: while the image is made, before the interpreter is initialised. */
void give_modules(const char *path);

int make_image(int argc, char **argv);
PyMODINIT_FUNC PyInit__utsuwa_json(void);
PyObject *json_make_encoder(PyObject *module, PyObject *arguments);
PyObject *json_encode_basestring(PyObject *module, PyObject *text);
PyObject *call_function(PyObject *module, PyObject *const *given, Py_ssize_t count);

/* launcher.c: becomes the plain interpreter; where the package is. */
__attribute__((noreturn)) void launch(unsigned long *stack);
const char *find_home(unsigned long *stack);

#endif
