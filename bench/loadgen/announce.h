// Making the endpoints known to the switch before anything is measured.

#ifndef LOADGEN_ANNOUNCE_H
#define LOADGEN_ANNOUNCE_H

#include "run.h"

/// Sends broadcasts until both ends of every flow inside this process have heard each other, then
/// announces the extra addresses.
/// - Returns: true, or false when the plan's `await_limit` passed first (said on standard error).
bool announce(run_t *run, uint64_t deadline);

#endif
