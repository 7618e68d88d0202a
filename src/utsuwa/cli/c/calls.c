/*
 * Functions of the C library by name, for utsuwa.linux.libc: a static program has no ctypes.
 */
#include "embedded.h"
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

typedef long function(long, long, long, long, long, long, long); /* of which those with fewer take the first ones */

#define NAMED(name) {#name, (function *)(void (*)(void))name}
static const struct {
	const char *name;
	function *function;
} functions[] = {
	NAMED(inotify_add_watch), NAMED(inotify_init1), NAMED(inotify_rm_watch), NAMED(madvise),	NAMED(mallopt),
	NAMED(mount),		  NAMED(prctl),		NAMED(setns),		 NAMED(setrlimit),	NAMED(syncfs),		NAMED(syscall),
	NAMED(timerfd_create),	  NAMED(timerfd_settime), NAMED(umount2),	 NAMED(unshare),
};

static function *find(const char *name)
{
	for (size_t i = 0; name && i < sizeof functions / sizeof *functions; i++)
		if (!strcmp(functions[i].name, name))
			return functions[i].function;
	PyErr_Format(PyExc_LookupError, "the launcher has no function %s: add it to calls.c", name ? name : "of that name");
	return NULL;
}

/* An integer as it is, None as NULL, of bytes their address. */
static int convert(PyObject *value, long *word)
{
	if (PyBytes_Check(value))
		*word = (long)PyBytes_AS_STRING(value);
	else if (value != Py_None)
		*word = PyLong_AsLong(value);
	return *word == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *call_function(PyObject *module, PyObject *const *given, Py_ssize_t count)
{
	long words[7] = {0};
	int result;
	(void)module;
	if (count < 1 || count > 8)
		return PyErr_Format(PyExc_TypeError, "call() takes a name and up to seven arguments");
	const char *name = PyUnicode_AsUTF8(given[0]);
	function *wanted = name ? find(name) : NULL;
	if (!wanted)
		return NULL;
	for (Py_ssize_t i = 1; i < count; i++)
		if (convert(given[i], &words[i - 1]))
			return NULL;
	Py_BEGIN_ALLOW_THREADS
	result = (int)wanted(words[0], words[1], words[2], words[3], words[4], words[5], words[6]);
	Py_END_ALLOW_THREADS
	return result < 0 ? PyErr_SetFromErrnoWithFilename(PyExc_OSError, name) : PyLong_FromLong(result);
}
