/*
 * `urun` and `utsuwa`: find the interpreter and the package, and become python3 -I -S with the command line in it.
 *
 * Not a script: a "#!" line would start the virtual environment's interpreter with all its .pth files (20-50 ms) and would
 * let the environment in. What is baked in when building (PYTHON, VERSION, PACKAGE) is tried first, then what can be told
 * from the place this file is in: PREFIX/bin/urun belongs to PREFIX/lib/pythonX.Y/site-packages.
 */
#include "syscall.h"
#include <linux/fcntl.h>

#ifndef PYTHON
#define PYTHON "/usr/bin/python3" /* the base interpreter: the virtual environment's own would read pyvenv.cfg */
#endif
#ifndef VERSION
#define VERSION "3"
#endif
#ifndef PACKAGE
#define PACKAGE "" /* the directory that holds the package, of an editable installation; "" for the others */
#endif

#define PATH_LIMIT 4096
#define AT_EXECFN_ 31

#define FIRST "import sys;sys.path.insert(0,sys.argv.pop(1));"
#define REST "sys.path.extend(sys.argv.pop(1).split(':'));"
#define OCI FIRST "sys.argv.pop(1);from utsuwa.cli.oci import main;sys.exit(main())"
#define MAIN FIRST REST "from utsuwa.cli.main import main;sys.exit(main())"

/* Debian's own interpreter keeps what pip installs for everybody in dist-packages. */
static const char libraries[][40] = {
	"/lib/python" VERSION "/site-packages",
	"/lib/python" VERSION "/dist-packages",
	"/lib/python3/dist-packages",
};

static char prefix[PATH_LIMIT], package[PATH_LIMIT], others[3 * PATH_LIMIT];

static int append(char *text, size_t limit, const char *more)
{
	size_t used = length(text), size = length(more);
	if (used + size >= limit)
		return 0;
	memcpy(text + used, more, size + 1);
	return 1;
}

static int exists(const char *path)
{
	return sys(faccessat, AT_FDCWD, path, 0) == 0;
}

static int has_package(const char *directory)
{
	char path[PATH_LIMIT] = "";
	return append(path, sizeof path, directory) && append(path, sizeof path, "/utsuwa/cli") && exists(path);
}

/* Cuts the last component off, and gives where it began; NULL when there is none. */
static char *cut(char *path)
{
	char *at = path + length(path);
	while (at > path && *at != '/')
		at--;
	if (*at != '/')
		return NULL;
	*at = 0;
	return at + 1;
}

/* The file that runs, links resolved; without /proc, the path that it was started by. */
static const char *locate(const u64 *aux)
{
	long size = sys(readlinkat, AT_FDCWD, "/proc/self/exe", prefix, sizeof prefix - 1);
	if (size < 0)
		for (; *aux; aux += 2)
			if (*aux == AT_EXECFN_)
				append(prefix, sizeof prefix, (const char *)aux[1]);
	const char *name = cut(prefix);
	cut(prefix);
	return name ? name : "urun";
}

static void find_packages(int all)
{
	if (PACKAGE[0] && has_package(PACKAGE))
		append(package, sizeof package, PACKAGE);
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		char path[PATH_LIMIT] = "";
		if (*package && !all)
			return;
		if (!append(path, sizeof path, prefix) || !append(path, sizeof path, libraries[i]))
			continue;
		if (!*package && has_package(path))
			append(package, sizeof package, path);
		if (exists(path)) {
			append(others, sizeof others, *others ? ":" : "");
			append(others, sizeof others, path);
		}
	}
}

static void complain(const char *name, const char *text)
{
	sys(write, 2, name, length(name));
	sys(write, 2, text, length(text));
}

__attribute__((noreturn, used)) void entry(u64 *stack)
{
	u64 argc = *stack;
	char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
	u64 *aux = (u64 *)envp;
	while (*aux++)
		;
	const char *name = locate(aux);
	int oci = !same(name, "utsuwa");
	find_packages(!oci);
	if (!*package) {
		complain(name, ": the Python package utsuwa is not where this program was installed: install it again\n");
		leave(1);
	}
	/* UTF-8 whatever the locale says: paths and JSON must not depend on it */
	const char *fixed[] = {PYTHON, "-I", "-S", "-X", "utf8", "-c", oci ? OCI : MAIN, package, others};
	enum { FIXED = sizeof fixed / sizeof *fixed };
	const char *args[FIXED + (argc ? argc : 1)];
	memcpy(args, fixed, sizeof fixed);
	for (u64 i = 1; i < argc; i++)
		args[FIXED + i - 1] = argv[i];
	args[FIXED + (argc ? argc - 1 : 0)] = NULL;
	sys(execve, PYTHON, args, envp);
	/* another interpreter took its place: the one of the installation, or the system's */
	if (append(prefix, sizeof prefix, "/bin/python3"))
		sys(execve, prefix, args, envp);
	sys(execve, "/usr/bin/python3", args, envp);
	complain(name, ": python3 can't be started: it was " PYTHON " when this was installed\n");
	leave(1);
}

START_CODE(entry);
