/*
 * Names of users and groups, looked up in the container's own /etc/passwd and /etc/group: no NSS, no locale, nothing that
 * could load code from there. A number is always an id, never a name (CVE-2016-3697).
 */
#include "init.h"
#include <linux/stat.h>

#define FILE_LIMIT (16u << 20)
#define ID_LIMIT 0xfffffffeULL
#define FIELDS 7

struct line {
	const char *field[FIELDS];
	size_t size[FIELDS];
	int count;
};

/*
 * A regular file that is not empty, or an error. Files that the kernel makes up (procfs) say that they are empty; they stay
 * unread, because root's reading may have an effect: /proc/kmsg hands every message out once.
 */
static int has_content(int file)
{
	struct stat status;
	int error = status_of(file, &status);
	if (!error && (status.st_mode & S_IFMT) != S_IFREG)
		error = -EINVAL;
	return error ? error : status.st_size > 0;
}

/* An absent file is an empty one. Its kind is known before it is opened: that alone can wake up a device. */
static int load(struct run *run, const char *path, struct bytes *text)
{
	*text = (struct bytes){"", 0};
	int file = in_root(run, path, O_PATH, 0);
	if (file == -ENOENT || file == -ENOTDIR)
		return 0;
	int result = file < 0 ? file : has_content(file);
	close_fd(file);
	if (result <= 0)
		return result;
	file = in_root(run, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	result = file < 0 ? file : has_content(file); /* the container may have put another one there meanwhile */
	if (result > 0)
		result = read_whole(file, FILE_LIMIT, text);
	close_fd(file);
	return result;
}

/* Splits the line at `*at` into its colon-separated fields and moves on; 0 at the end of the text. */
static int next_line(const char **at, struct line *line)
{
	const char *text = *at;
	if (!*text)
		return 0;
	memset(line, 0, sizeof *line);
	line->field[0] = text;
	for (; *text && *text != '\n'; text++) {
		if (*text == ':' && line->count < FIELDS - 1) {
			line->size[line->count] = (size_t)(text - line->field[line->count]);
			line->field[++line->count] = text + 1;
		}
	}
	line->size[line->count] = (size_t)(text - line->field[line->count]);
	line->count++;
	*at = *text ? text + 1 : text;
	return 1;
}

static int is_numeric(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] < '0' || text[i] > '9')
			return 0;
	return size > 0;
}

static int number_of(const char *text, size_t size, u32 *number)
{
	u64 value = 0;
	if (size > 10 || !is_numeric(text, size))
		return 0;
	for (size_t i = 0; i < size; i++)
		value = value * 10 + (u64)(text[i] - '0');
	if (value > ID_LIMIT)
		return 0;
	*number = (u32)value;
	return 1;
}

static int is_name(const struct line *line, const char *name, size_t size)
{
	return line->size[0] == size && size && !is_numeric(name, size) && !memcmp(line->field[0], name, size);
}

/* NULL when there is none, or when it is longer than a path, which execve(2) might refuse. */
static const char *home_of(const struct line *line)
{
	const char *text = line->field[5];
	size_t size = line->count > 5 ? line->size[5] : 0;
	char *copy = size && size < PATH_LIMIT ? arena(size + 1) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, text, size);
	copy[size] = 0;
	return copy;
}

/* The passwd line of a user given by name or number. */
static int find_line(const char *text, const char *user, size_t size, struct line *line)
{
	u32 wanted, uid;
	int numeric = number_of(user, size, &wanted);
	while (next_line(&text, line)) {
		if (line->count < 4 || !number_of(line->field[2], line->size[2], &uid))
			continue;
		if (numeric ? uid == wanted : is_name(line, user, size))
			return 1;
	}
	return 0;
}

/* The primary group comes first and is often listed, too. However many an image lists, the kernel has the last word. */
static int add_group(struct found_user *user, u32 gid)
{
	if (user->group_count && user->groups[0] == gid)
		return 0;
	if (user->group_count == user->group_space) {
		u64 space = user->group_space ? user->group_space * 2 : 32;
		u32 *more = arena(space * sizeof *more);
		if (!more)
			return -ENOMEM;
		memcpy(more, user->groups, user->group_count * sizeof *more);
		user->groups = more;
		user->group_space = space;
	}
	user->groups[user->group_count++] = gid;
	return 0;
}

static int lists_member(const struct line *line, const char *name, size_t size)
{
	const char *at = line->field[3], *end = at + line->size[3];
	while (at < end) {
		const char *comma = at;
		while (comma < end && *comma != ',')
			comma++;
		if ((size_t)(comma - at) == size && !memcmp(at, name, size))
			return 1;
		at = comma + 1;
	}
	return 0;
}

/* The groups whose member lists name the user. */
static int add_memberships(struct run *run, const char *name, size_t size)
{
	struct bytes text;
	struct line line;
	u32 gid;
	int error = load(run, "/etc/group", &text);
	if (error)
		return error;
	while (!error && next_line(&text.data, &line))
		if (line.count >= 4 && number_of(line.field[2], line.size[2], &gid) && lists_member(&line, name, size))
			error = add_group(&run->user, gid);
	return error;
}

static int find_group(struct run *run, const char *group, u32 *gid)
{
	struct bytes text;
	struct line line;
	size_t size = length(group);
	if (number_of(group, size, gid))
		return 0;
	int error = load(run, "/etc/group", &text);
	if (error)
		return error;
	while (next_line(&text.data, &line))
		if (line.count >= 3 && is_name(&line, group, size) && number_of(line.field[2], line.size[2], gid))
			return 0;
	return fail(run, -ENOENT, DETAIL_UNKNOWN_GROUP);
}

/* uid, primary group and home from /etc/passwd; a number that is not there is taken as it is, with group 0. */
static int find_account(struct run *run, const char *name, size_t size, struct line *line)
{
	struct bytes text;
	struct found_user *user = &run->user;
	int error = load(run, "/etc/passwd", &text);
	if (error)
		return error;
	if (find_line(text.data, name, size, line)) {
		number_of(line->field[2], line->size[2], &user->uid);
		if (!number_of(line->field[3], line->size[3], &user->gid))
			return fail(run, -EINVAL, DETAIL_UNKNOWN_GROUP);
		user->home = home_of(line);
		return 0;
	}
	line->count = 0;
	return number_of(name, size, &user->uid) ? 0 : fail(run, -ENOENT, DETAIL_UNKNOWN_USER);
}

/* "user", "user:group", "" (root): Docker's rules. A group that is named replaces all groups of the user. */
int op_FIND_USER(struct run *run, struct cursor *fields)
{
	const char *text = take_text(fields), *group;
	struct line line;
	size_t size = 0;
	while (text[size] && text[size] != ':')
		size++;
	group = text[size] ? text + size + 1 : "";
	if (!size) {
		text = "0";
		size = 1;
	}
	run->user = (struct found_user){.known = 1};
	int error = find_account(run, text, size, &line);
	if (error)
		return error;
	if (*group)
		error = find_group(run, group, &run->user.gid);
	if (error)
		return error;
	/* the primary group is a supplementary one as well: dropping it must not give access (CVE-2022-36109) */
	error = add_group(&run->user, run->user.gid);
	return error || *group || !line.count ? error : add_memberships(run, line.field[0], line.size[0]);
}

int op_SET_HOME(struct run *run, struct cursor *fields)
{
	struct bytes text;
	struct line line;
	u32 uid = (u32)take(fields), found;
	run->home = "/";
	if (run->user.known) {
		run->home = run->user.home ? run->user.home : "/";
		return 0;
	}
	if (load(run, "/etc/passwd", &text))
		return 0; /* HOME is a convenience: a broken passwd must not keep a container from starting */
	while (next_line(&text.data, &line)) {
		if (line.count < 6 || !number_of(line.field[2], line.size[2], &found) || found != uid)
			continue;
		const char *home = home_of(&line);
		run->home = home ? home : "/";
		break;
	}
	return 0;
}
