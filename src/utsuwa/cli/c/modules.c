/*
 * The modules that come with the interpreter (os, importlib, ...), as marshalled code. The interpreter has them as static data,
 * too: a start looks at a bit of each, and writes to the reference counts on a third of those pages. Code that is loaded is in
 * blocks, which gather.c can bring together. The file has the name of each module, its code's size in 8 bytes, and the code
 * (frozen() of tools/image.py); it stays in the image, for modules that are imported later.
 */
#define Py_BUILD_CORE 1
#include "embedded.h"
#include "internal/pycore_import.h"
#include <stdio.h>

/* The same modules, but for those in the file. */
static const struct _frozen *replaced(const struct _frozen *modules, const char *at, const char *end)
{
	size_t count = 0;
	while (modules[count++].name)
		;
	struct _frozen *copy = malloc(count * sizeof *copy);
	if (!copy)
		Py_FatalError("no memory for the modules that come with the interpreter");
	memcpy(copy, modules, count * sizeof *copy);
	for (uint64_t size; at < end; at += size) {
		const char *name = at;
		at += strlen(name) + 1;
		memcpy(&size, at, sizeof size);
		at += sizeof size;
		for (size_t i = 0; i + 1 < count; i++)
			if (!strcmp(copy[i].name, name)) {
				copy[i].code = (const unsigned char *)at;
				copy[i].size = (int)size;
				copy[i].get_code = NULL;
			}
	}
	return copy;
}

void give_modules(const char *path)
{
	FILE *file = fopen(path, "r");
	long size = file && !fseek(file, 0, SEEK_END) ? ftell(file) : 0;
	char *given = size > 0 ? malloc((size_t)size) : NULL;
	if (!given || fseek(file, 0, SEEK_SET) || fread(given, 1, (size_t)size, file) != (size_t)size)
		Py_FatalError("the modules that come with the interpreter can't be read");
	fclose(file);
	_PyImport_FrozenBootstrap = replaced(_PyImport_FrozenBootstrap, given, given + size);
	_PyImport_FrozenStdlib = replaced(_PyImport_FrozenStdlib, given, given + size);
}

/* CPython calls this one (--wrap): what it does is to make the strings in that data the ones that all others are. */
int __wrap__Py_Deepfreeze_Init(void);
int __wrap__Py_Deepfreeze_Init(void)
{
	return 0;
}
