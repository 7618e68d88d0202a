/* When and where the process runs: scheduler, I/O priority, processors; and what machine it believes to be on. */
#include "init.h"

#define IOPRIO_WHO_PGRP_ 2
#define IOPRIO_CLASS_SHIFT_ 13

/* struct sched_attr of sched_setattr(2), with the fields of Linux 5.3. */
struct schedule {
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
	u32 least, most;
};

int op_PERSONALITY(struct run *run, struct cursor *fields)
{
	(void)run;
	int before = (int)sys(personality, take(fields));
	return before < 0 && before > -4096 ? before : 0;
}

int op_SCHEDULER(struct run *run, struct cursor *fields)
{
	(void)run;
	struct schedule schedule = {.size = sizeof schedule, .policy = (u32)take(fields)};
	schedule.nice = (s32)take(fields);
	schedule.priority = (u32)take(fields);
	schedule.flags = take(fields);
	schedule.runtime = take(fields);
	schedule.deadline = take(fields);
	schedule.period = take(fields);
	return (int)sys(sched_setattr, 0, &schedule, 0);
}

int op_IO_PRIORITY(struct run *run, struct cursor *fields)
{
	(void)run;
	u64 class = take(fields), priority = take(fields);
	return (int)sys(ioprio_set, IOPRIO_WHO_PGRP_, 0, class << IOPRIO_CLASS_SHIFT_ | priority);
}

int op_CPU_AFFINITY(struct run *run, struct cursor *fields)
{
	(void)run;
	struct bytes mask = take_bytes(fields);
	return (int)sys(sched_setaffinity, 0, mask.size, mask.data);
}

int op_MEMORY_POLICY(struct run *run, struct cursor *fields)
{
	(void)run;
	u64 mode = take(fields);
	struct bytes nodes = take_bytes(fields);
	/* the kernel looks at one bit less than it is told (set_mempolicy(2), bugs) */
	return (int)sys(set_mempolicy, mode, nodes.size ? nodes.data : NULL, nodes.size ? nodes.size * 8 + 1 : 0);
}
