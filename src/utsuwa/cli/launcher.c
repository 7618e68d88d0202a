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

/* The package's directory goes first on the path, unless tools/freeze.py made a file of its modules for this interpreter:
 * then its head says how they are loaded. Garbage is not collected before the program decides: nothing here makes any. */
#define FIRST \
	"import sys,gc,posix;gc.disable();h=sys.argv.pop(1);sys.path.insert(0,h);o=sys.argv.pop(1);del sys.argv[0]\n" \
	"try:\n" \
	" f=posix.open(h+'/utsuwa/cli/modules.frozen',524288);b=posix.read(f,8)\n" \
	" if b[:4]==sys.modules['_frozen_importlib_external'].MAGIC_NUMBER:\n" \
	"  from marshal import loads\n" \
	"  exec(loads(posix.read(f,int.from_bytes(b[4:],'little'))),{'sys':sys,'HOME':h,'FILE':f,'stat':posix.stat," \
	"'pread':posix.pread,'loads':loads,'ModuleSpec':type(sys.__spec__)})\n" \
	"except OSError:pass\n"
#define OCI FIRST "from utsuwa.cli.oci import main;sys.exit(main())"
#define MAIN FIRST "sys.path.extend(o.split(':'));gc.enable();from utsuwa.cli.main import main;sys.exit(main())"

/* Slow, and only where the above found nothing: the installation's own interpreter knows its directories. */
#define SEARCH(module)                                       \
	"import sys\n"                                       \
	"del sys.argv[0]\n"                                  \
	"try:\n"                                             \
	" from utsuwa.cli." module " import main\n"          \
	"except ModuleNotFoundError as error:\n"             \
	" sys.exit(f'{error}: install utsuwa again')\n"      \
	"sys.exit(main())"

/* Debian's own interpreter keeps what pip installs for everybody in dist-packages. */
static const char libraries[][40] = {
	"/lib/python" VERSION "/site-packages",
	"/lib/python" VERSION "/dist-packages",
	"/lib/python3/dist-packages",
};

static char prefix[PATH_LIMIT], python[PATH_LIMIT], package[PATH_LIMIT], others[3 * PATH_LIMIT];

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

/* Becomes the interpreter: `fixed` arguments first, then the caller's, of which the first is the name that it used (in
 * sys.argv Python's own, "-c", stands before them all). Comes back on failure only. */
static void start(const char *program, const char *const *fixed, size_t count, u64 *stack)
{
	u64 argc = *stack;
	const char *const *argv = (const char *const *)(stack + 1);
	const char *args[count + argc + 1];
	memcpy(args, fixed, count * sizeof *args);
	memcpy(args + count, argv, argc * sizeof *args);
	args[count + argc] = NULL;
	sys(execve, program, args, argv + argc + 1);
}

/* Fills `prefix`, `package`, `others` and `python`; the name of this program. */
static const char *look_around(u64 *stack)
{
	static const char *name;
	if (name)
		return name;
	u64 *aux = stack + *stack + 2;
	while (*aux++)
		;
	name = locate(aux);
	find_packages(same(name, "utsuwa"));
	if (!append(python, sizeof python, prefix) || !append(python, sizeof python, "/bin/python3"))
		*python = 0;
	return name;
}

/* A standard stream that the caller has closed would be the first file that the interpreter opens. */
static void hold_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (sys(fcntl, fd, F_GETFD) < 0)
			sys(openat, AT_FDCWD, "/dev/null", O_RDWR);
}

/* An interrupt while Python starts would be told as a traceback: it waits until utsuwa.cli.main asks for it. */
static void hold_interrupts(void)
{
	u64 interrupt = 1 << (2 - 1); /* SIGINT */
	sys(rt_sigprocmask, 0, &interrupt, NULL, sizeof interrupt); /* 0: SIG_BLOCK */
}

__attribute__((noreturn, used)) void launch(u64 *stack)
{
	hold_standard_streams();
	const char *name = look_around(stack);
	int oci = !same(name, "utsuwa");
	if (!oci)
		hold_interrupts();
	/* UTF-8 whatever the locale says: paths and JSON must not depend on it */
	if (*package) {
		const char *fixed[] = {PYTHON, "-I", "-S", "-X", "utf8", "-c", oci ? OCI : MAIN, package, others};
		start(PYTHON, fixed, sizeof fixed / sizeof *fixed, stack);
		/* another one took its place: the one of the installation, or the system's */
		start(python, fixed, sizeof fixed / sizeof *fixed, stack);
		start("/usr/bin/python3", fixed, sizeof fixed / sizeof *fixed, stack);
		complain(name, ": python3 can't be started: it was " PYTHON " when this was installed\n");
	} else {
		const char *fixed[] = {python, "-I", "-X", "utf8", "-c", oci ? SEARCH("oci") : SEARCH("main")};
		start(python, fixed, sizeof fixed / sizeof *fixed, stack);
		complain(name, ": the Python package utsuwa is not where this program was installed: install it again\n");
	}
	leave(1);
}

#ifdef EMBEDDED /* c/embedded.c starts us, where it can't do better */
const char *find_home(u64 *stack)
{
	look_around(stack);
	return package;
}

size_t length(const char *text)
{
	return __builtin_strlen(text);
}

int same(const char *one, const char *other)
{
	return !__builtin_strcmp(one, other);
}
#else
START_CODE(launch);
#endif
