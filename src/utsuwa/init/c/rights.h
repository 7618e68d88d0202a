/* Messages with descriptors (unix(7), SCM_RIGHTS), for the executor and for the monitor's guard. */
#ifndef UTSUWA_RIGHTS_H
#define UTSUWA_RIGHTS_H

#include "syscall.h"

#define RIGHTS_LIMIT 24 /* descriptors in one message */
#define MSG_DONTWAIT_ 0x40

long send_rights(int socket, const void *data, size_t size, const int *rights, u32 count, int flags);
long receive_rights(int socket, void *data, size_t size, int *rights, u32 *count, int flags);

#endif
