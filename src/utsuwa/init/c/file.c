/* Small steps on descriptors that several ops take. */
#include "init.h"
#include <linux/stat.h>

struct statfs_head {
	long type;
	long rest[15];
};

int open_path(const char *path, u64 flags)
{
	return (int)sys(openat, AT_FDCWD_, path, flags | O_CLOEXEC, 0);
}

int close_fd(int descriptor)
{
	return descriptor < 0 ? 0 : (int)sys(close, descriptor);
}

int status_of(int descriptor, struct stat *status)
{
	return (int)sys(newfstatat, descriptor, "", status, AT_EMPTY_PATH);
}

int magic_is(int descriptor, u64 magic)
{
	struct statfs_head head;
	return sys(fstatfs, descriptor, &head) == 0 && (u64)head.type == magic;
}

int is_directory(const struct stat *status)
{
	return (status->st_mode & S_IFMT) == S_IFDIR;
}

/* One write of `text` to a file that must exist: the way of /proc, /sys and cgroup files. */
int write_file(int directory, const char *path, const char *text, size_t size)
{
	int file = (int)sys(openat, directory, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (file < 0)
		return file;
	long written = sys(write, file, text, size);
	close_fd(file);
	if (written < 0)
		return (int)written;
	return (size_t)written == size ? 0 : -EIO;
}

/* Writes the digits before `end` (where it puts a NUL) and returns the first; 21 bytes are enough for any number. */
char *decimal(u64 number, char *end)
{
	*--end = 0;
	do
		*--end = (char)('0' + number % 10);
	while (number /= 10);
	return end;
}

int join_path(char *out, size_t size, const char *one, const char *two)
{
	size_t first = length(one), second = length(two);
	if (first + second + 2 > size)
		return -ENAMETOOLONG;
	memcpy(out, one, first);
	out[first] = '/';
	memcpy(out + first + 1, two, second + 1);
	return 0;
}

/* The whole of a regular file, NUL-terminated, in arena memory. A file that grows meanwhile is cut at its first size. */
int read_whole(int descriptor, size_t limit, struct bytes *out)
{
	struct stat status;
	int error = status_of(descriptor, &status);
	if (error)
		return error;
	if ((status.st_mode & S_IFMT) != S_IFREG)
		return -EINVAL;
	/* Files of /proc claim to be empty. */
	size_t size = status.st_size ? (size_t)status.st_size : limit;
	if (size > limit)
		return -EFBIG;
	char *data = arena(size + 1);
	if (!data)
		return -ENOMEM;
	size_t done = 0;
	while (done < size) {
		long count = sys(read, descriptor, data + done, size - done);
		if (count < 0)
			return (int)count;
		if (!count)
			break;
		done += (size_t)count;
	}
	data[done] = 0;
	*out = (struct bytes){data, done};
	return 0;
}
