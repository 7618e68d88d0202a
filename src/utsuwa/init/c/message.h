/* struct msghdr and the control message that carries a descriptor, as sendmsg(2) and recvmsg(2) have them. */
#ifndef UTSUWA_MESSAGE_H
#define UTSUWA_MESSAGE_H

#include "syscall.h"

#define AF_UNIX_ 1
#define SOCK_SEQPACKET_ 5
#define SOL_SOCKET_ 1
#define SO_PASSCRED_ 16
#define SCM_RIGHTS_ 1
#define SCM_CREDENTIALS_ 2
#define MSG_NOSIGNAL_ 0x4000
#define MSG_CMSG_CLOEXEC_ 0x40000000

struct vector {
	const void *data;
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
	s32 value[4]; /* a descriptor; or pid, uid and gid */
};

#endif
