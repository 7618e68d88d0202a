/* What the guard and its workers say to each other, on a SOCK_SEQPACKET socket (../guard.py has the other side). */
#ifndef UTSUWA_GUARD_H
#define UTSUWA_GUARD_H

#include "rights.h"

#define MOST 8 /* descriptors in one message */

enum kind { PRESENT = 'A', HANDOVER = 'H', IDLE = 'I' };

/* From a worker. HANDOVER brings descriptors, which replace those that we held; with `alone` the next worker is to be our
 * child, because it is going to make the container's next process, which must be ours. */
struct word {
	u8 kind, watched, alone;
	u8 padding;
	u32 pid;
};

/* To a worker: which process has ended (0: none), and its wait status; in answer to PRESENT, with all descriptors. */
struct end {
	u32 pid;
	s32 status;
};

#endif
