// Keeping the processors awake.

#ifndef PINGPONG_SPIN_H
#define PINGPONG_SPIN_H

#include <sys/types.h>

/// Starts a process that keeps every processor busy at the lowest of priorities, SCHED_IDLE:
/// whoever else is woken runs at once, but no processor halts meanwhile. Waking a halted one takes
/// longer, above all on virtual machines, than everything that is to be measured.
/// - Returns: its number, or -errno.
pid_t spin_start(void);

/// Ends it and waits for its end.
void spin_end(pid_t process);

#endif
