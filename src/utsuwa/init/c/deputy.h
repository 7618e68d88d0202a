/* What the deputy is asked, and by whom. */
#ifndef UTSUWA_DEPUTY_H
#define UTSUWA_DEPUTY_H

#include "init.h"

#define DISMISSED (~0ULL) /* in place of an op's index */
#define PROCESS_PATH_LIMIT 64

struct errand {
	int pid;	/* of the container's process, as the deputy numbers processes */
	int descriptor; /* that came along, or -1 */
};

int open_namespace(int pid, const char *name);
int give_id_map(struct run *run, const struct errand *errand, struct cursor *cursor);
int give_network_device(struct run *run, const struct errand *errand, struct cursor *cursor);
void take_network_devices_back(void);

#endif
