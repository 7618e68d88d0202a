/*
 * utsuwa-init: executes a plan. Stage 1 (started by Python on the host's side) does the ops up to CLONE and leaves; the
 * child made by CLONE does the rest and becomes the container's process. The first error ends it with one FAILED record.
 */
#ifndef UTSUWA_INIT_H
#define UTSUWA_INIT_H

#include "syscall.h"
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>

#define PATH_LIMIT 4096
#define SLOTS_LIMIT 16

enum op_code {
#define OP(name, code, types, fields) OP_##name = code,
#include "ops.def"
};
enum request {
#define REQUEST(name, number) REQUEST_##name = number,
#include "ops.def"
};
enum report {
#define REPORT(name, number) REPORT_##name = number,
#include "ops.def"
};
enum detail {
#define DETAIL(name, number) DETAIL_##name = number,
#include "ops.def"
};
enum flag {
#define FLAG(name, number) FLAG_##name = number,
#include "ops.def"
};

/* A counted value inside the plan. Strings are NUL-terminated there and hold no other NUL (checked before the first op). */
struct bytes {
	const char *data;
	u64 size;
};
struct list {
	const u8 *at; /* the first element */
	u64 count;
};

/* Reads the fields of one op, whose bounds have been checked already. */
struct cursor {
	const u8 *at;
};

struct op {
	u32 code, size;
};

/* What FIND_USER found; SET_IDENTITY, SET_HOME, CONSOLE and STDIO_OWNER prefer it to their own fields. */
struct found_user {
	int known;
	u32 uid, gid;
	u32 *groups;
	u64 group_count, group_space;
	const char *home; /* NULL: no entry in /etc/passwd */
};

struct bind_fields {
	const char *source, *target;
	u64 recursive, set, clear, rec_set, rec_clear, propagation, flags;
	struct bytes uid_map, gid_map; /* as /proc/PID/uid_map takes them; both empty: those of our own user namespace */
	const char *subdirectory; /* of the source, "" for all of it */
};

struct run {
	int channel;
	int root;	     /* the container's root directory, -1 until an op makes or needs it */
	int parent;	     /* the directory inside that was used last, see in_root.c; -1 when none is held */
	int beneath_parent;  /* what was looked up last is in it */
	int host;	     /* the host's directory of all cgroups, see op_namespace.c; -1 when none is held */
	int inside;	     /* "/" is the container's root: pivoted, moved, chrooted, or entered */
	int parents_private; /* ROOT_PROPAGATION left nothing shared */
	u32 old_umask;
	u32 index;	     /* of the op being executed */
	u32 detail;	     /* set together with an error return */
	s64 value;
	struct list keep; /* descriptors that survive EXEC */
	int slots[SLOTS_LIMIT]; /* descriptors that ops name */
	u32 slot_count;
	const u8 *ops;
	u64 op_count;
	int renewed; /* AWAIT_PLAN has put another plan in place */
	const char *birthplace; /* the cgroup that CLONE names, NULL without CLONE */
	int cgroup; /* it, opened while the host's mounts are in view */
	int born;     /* the clone has been made: this is the container's process */
	int deputy;   /* socket to the process that keeps the caller's rights, -1 without */
	int deputy_pid; /* in the process that forked it alone */
	int masks;    /* the plan has a MASK: a null device must be fetched before the host is out of sight */
	int null;     /* mount of a verified null device */
	int null_used; /* `null` is attached somewhere: clone it from now on */
	int empty;    /* the same for an empty read-only directory */
	int empty_used;
	struct list source_paths, source_kinds; /* of OPEN_SOURCES */
	int *sources;
	int arrived; /* a CHDIR that might have failed has succeeded */
	int swept;   /* all descriptors above stdio close on exec */
	int proc; /* a procfs that the container can't have prepared */
	int new_proc; /* its own, as it has been mounted */
	const char *home;
	const char *executable;
	struct found_user user;
};

/* main.c */
int fail(struct run *run, int error, enum detail detail);
int fail_value(struct run *run, int error, enum detail detail, s64 value);
int adopt_plan(struct run *run, int descriptor);
void *arena(size_t size);

/* decode.c */
int check_plan(struct run *run, const u8 *plan, u64 size);
u64 take(struct cursor *fields);
struct bytes take_bytes(struct cursor *fields);
const char *take_text(struct cursor *fields);
struct list take_list(struct cursor *fields);
struct list take_numbers(struct cursor *fields);
const char *next_text(const u8 **at);
char **vector_of(struct list list, size_t spare);

/* channel.c */
void report(struct run *run, enum report kind, s64 value);
void report_failure(struct run *run, int error);
int ask(struct run *run, u64 request);
int hand_over(struct run *run, u64 request, int descriptor);
int offer(struct run *run, u64 request, const int *descriptors, u32 count);

/* in_root.c */
int root_of(struct run *run);
/* Beneath the directory `root`, which no link on the way leaves. */
int open_in(int root, const char *path, u64 flags, u64 resolve);
int in_root(struct run *run, const char *path, u64 flags, u64 resolve);
int in_root_directory(struct run *run, const char *path, u32 mode);
int in_root_file(struct run *run, const char *path);
int in_root_parent(struct run *run, const char *path, const char **name);
void let_go_of_parent(struct run *run);

/* small wrappers used by several ops: file.c */
int open_path(const char *path, u64 flags);
int close_fd(int descriptor);
int write_file(int directory, const char *path, const char *text, size_t size);
int status_of(int descriptor, struct stat *status);
int magic_is(int descriptor, u64 magic);
char *decimal(u64 number, char *end);
int is_directory(const struct stat *status);
int join_path(char *out, size_t size, const char *one, const char *two);
int read_whole(int descriptor, size_t limit, struct bytes *out);

/* deputy.c */
int ask_deputy(struct run *run, int descriptor);
void await_deputy(struct run *run);

/* op_namespace.c */
int on_host(const struct run *run, const char **path);

/* op_mount.c */
struct bind_fields take_bind(struct cursor *fields);

/* mounting.c: steps shared by the mount ops */
int fs_option(int fs, const char *option);
int attach(int mount, int target);
int set_attributes(int mount, u64 set, u64 clear, u64 propagation, int recursive);
int set_id_map(int mount, int user_namespace, int recursive);
int clone_tree(int directory, const char *path, int recursive);
int set_propagation(int mount, u64 flags);
int fetch_null(struct run *run);
void close_sources(struct run *run);
int copy_up(int from, int to);

/* op_hide.c */
int procfs_of(struct run *run);

/* listener.c */
struct sock_fprog;
int load_listening(struct run *run, const struct sock_fprog *filter, u64 flags);

/* op_process.c */
int sweep_descriptors(struct run *run);
void add_home(char **env, u64 count, const char *home);

/* op_hook.c */
int find_home(struct run *run, u32 uid, const char **home);

#define OP(name, code, types, fields) int op_##name(struct run *run, struct cursor *fields_);
#include "ops.def"

#endif
