/* The terminal, and the owner of stdio. */
#include "init.h"
#include "rights.h"
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/magic.h>
#include <linux/stat.h>

/* NOTE: O_NOCTTY everywhere: TIOCSCTTY below decides about the controlling terminal. */

/* Opened in the directory that proved to be a devpts: only the kernel makes entries there (CVE-2025-52565). */
static int open_master(struct run *run)
{
	int devpts = in_root(run, "dev/pts", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (devpts < 0)
		return devpts;
	int master = magic_is(devpts, DEVPTS_SUPER_MAGIC)
			     ? (int)sys(openat, devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0)
			     : fail(run, -EINVAL, DETAIL_NOT_DEVPTS);
	close_fd(devpts);
	return master;
}

static int open_slave(int master)
{
	int unlock = 0;
	int error = (int)sys(ioctl, master, TIOCSPTLCK, &unlock);
	return error ? error : (int)sys(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* The slave over /dev/console; whatever is there is used as it is, and never followed (CVE-2026-88264). */
static int bind_console(struct run *run, int slave)
{
	struct stat status;
	const char *name;
	int directory = in_root_parent(run, "dev/console", &name);
	if (directory < 0)
		return directory;
	int target = (int)sys(mknodat, directory, name, S_IFREG | 0600, 0);
	if (!target || target == -EEXIST)
		target = (int)sys(openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	int error = target < 0 ? target : status_of(target, &status);
	if (!error && (status.st_mode & S_IFMT) == S_IFLNK)
		error = -ELOOP;
	int tree = error ? error : clone_tree(slave, "", 0);
	error = tree < 0 ? tree : attach(tree, target);
	if (tree >= 0)
		close_fd(tree);
	close_fd(target);
	return error;
}

static int send_master(int socket, int master)
{
	char name[40] = "/dev/pts/", digits[21];
	u32 number;
	int error = (int)sys(ioctl, master, TIOCGPTN, &number);
	if (error)
		return error;
	const char *text = decimal(number, digits + sizeof digits);
	memcpy(name + 9, text, length(text) + 1);
	long sent = send_rights(socket, name, length(name), &master, 1, 0);
	return sent < 0 ? (int)sent : 0;
}

static int use_slave(int slave)
{
	int error = (int)sys(ioctl, slave, TIOCSCTTY, 0);
	for (int i = 0; i < 3 && !error; i++)
		if (sys(dup3, slave, i, 0) < 0)
			error = -EBADF;
	return error;
}

/* The terminal behind the master makes "\r\n" of new lines already. */
static int leave_new_lines(int slave)
{
	struct termios settings;
	int error = (int)sys(ioctl, slave, TCGETS, &settings);
	settings.c_oflag &= ~(u32)ONLCR;
	return error ? error : (int)sys(ioctl, slave, TCSETS, &settings);
}

int op_CONSOLE(struct run *run, struct cursor *fields)
{
	int socket = (int)take(fields);
	struct winsize size = {.ws_row = (unsigned short)take(fields)};
	size.ws_col = (unsigned short)take(fields);
	u32 uid = (u32)take(fields);
	u64 device = take(fields), plain = take(fields);
	if (run->user.known)
		uid = run->user.uid;
	int master = open_master(run);
	if (master < 0)
		return run->detail ? master : fail(run, master, DETAIL_OPEN_SOURCE);
	int slave = open_slave(master);
	int error = slave < 0 ? slave : 0;
	if (!error && uid) /* the group is the one that the devpts mount gives (gid=5) */
		error = (int)sys(fchown, slave, uid, -1);
	if (!error && (size.ws_row || size.ws_col))
		error = (int)sys(ioctl, master, TIOCSWINSZ, &size);
	if (!error && plain)
		error = leave_new_lines(slave);
	if (!error && device && (error = bind_console(run, slave)))
		fail(run, 0, DETAIL_OPEN_TARGET);
	if (!error)
		error = send_master(socket, master);
	if (!error)
		error = use_slave(slave);
	close_fd(master);
	close_fd(slave);
	close_fd(socket);
	return error;
}

/* Pipes and sockets only: devices such as the host's /dev/null and ttys, and files, keep their owners. */
int op_STDIO_OWNER(struct run *run, struct cursor *fields)
{
	u32 uid = (u32)take(fields), gid = (u32)take(fields);
	if (run->user.known) {
		uid = run->user.uid;
		gid = run->user.gid;
	}
	for (int i = 0; i < 3; i++) {
		struct stat status;
		if (status_of(i, &status))
			continue;
		u32 kind = status.st_mode & S_IFMT;
		if ((kind != S_IFIFO && kind != S_IFSOCK) || (status.st_uid == uid && status.st_gid == gid))
			continue;
		int error = (int)sys(fchown, i, uid, gid);
		if (error && error != -EPERM && error != -EROFS && error != -EINVAL)
			return error;
	}
	return 0;
}
