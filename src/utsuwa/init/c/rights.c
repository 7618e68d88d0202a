#include "rights.h"
#include "message.h"


struct rights {
	size_t size;
	s32 level, type;
	int descriptors[RIGHTS_LIMIT];
};

#define HEAD (sizeof(size_t) + 2 * sizeof(s32))

/* The number of bytes sent, or a negative errno value. */
long send_rights(int socket, const void *data, size_t size, const int *rights, u32 count, int flags)
{
	struct vector part = {data, size};
	struct rights control = {HEAD + count * sizeof *rights, SOL_SOCKET_, SCM_RIGHTS_, {0}};
	struct message message = {.parts = &part, .part_count = 1};
	if (count) {
		memcpy(control.descriptors, rights, count * sizeof *rights);
		message.control = &control;
		message.control_size = control.size;
	}
	return sys(sendmsg, socket, &message, MSG_NOSIGNAL_ | flags);
}

/* The number of bytes received, 0 when the other side is gone, or a negative errno value. */
long receive_rights(int socket, void *data, size_t size, int *rights, u32 *count, int flags)
{
	struct vector part = {data, size};
	struct rights control;
	struct message message = {.parts = &part, .part_count = 1, .control = &control, .control_size = sizeof control};
	long got = sys(recvmsg, socket, &message, MSG_CMSG_CLOEXEC_ | flags);
	*count = 0;
	if (got >= 0 && message.control_size >= HEAD && control.level == SOL_SOCKET_ && control.type == SCM_RIGHTS_) {
		*count = (u32)((control.size - HEAD) / sizeof *rights);
		memcpy(rights, control.descriptors, *count * sizeof *rights);
	}
	return got;
}
