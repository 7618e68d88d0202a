/* Messages with descriptors (unix(7), SCM_RIGHTS). */
#include "guard.h"

#define SOL_SOCKET_ 1
#define SCM_RIGHTS_ 1
#define MSG_DONTWAIT_ 0x40
#define MSG_NOSIGNAL_ 0x4000
#define MSG_CMSG_CLOEXEC_ 0x40000000

struct vector {
	void *data;
	size_t size;
};

struct message {
	void *name;
	u32 name_size, padding;
	struct vector *parts;
	size_t part_count;
	void *control;
	size_t control_size;
	u32 flags;
};

struct control {
	size_t size;
	s32 level, type;
	int descriptors[MOST];
};

#define HEAD (sizeof(size_t) + 2 * sizeof(s32))

/* The number of bytes sent, or a negative errno value. Never waits. */
long send_rights(int socket, const void *data, size_t size, const int *rights, u32 count)
{
	struct vector part = {(void *)data, size};
	struct control control = {HEAD + count * sizeof *rights, SOL_SOCKET_, SCM_RIGHTS_, {0}};
	struct message message = {.parts = &part, .part_count = 1};
	if (count) {
		memcpy(control.descriptors, rights, count * sizeof *rights);
		message.control = &control;
		message.control_size = control.size;
	}
	return sys(sendmsg, socket, &message, MSG_NOSIGNAL_ | MSG_DONTWAIT_);
}

/* The number of bytes received, 0 when the other side is gone, or a negative errno value. Never waits. */
long receive_rights(int socket, void *data, size_t size, int *rights, u32 *count)
{
	struct vector part = {data, size};
	struct control control;
	struct message message = {.parts = &part, .part_count = 1, .control = &control, .control_size = sizeof control};
	long got = sys(recvmsg, socket, &message, MSG_CMSG_CLOEXEC_ | MSG_DONTWAIT_);
	*count = 0;
	if (got >= 0 && message.control_size >= HEAD && control.level == SOL_SOCKET_ && control.type == SCM_RIGHTS_) {
		*count = (u32)((control.size - HEAD) / sizeof *rights);
		memcpy(rights, control.descriptors, *count * sizeof *rights);
	}
	return got;
}
