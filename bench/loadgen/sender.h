// Sending the flows of one endpoint.

#ifndef LOADGEN_SENDER_H
#define LOADGEN_SENDER_H

#include "run.h"

/// Sends all flows that begin at the endpoint `from` until each of them is over or the run is
/// stopped. One thread an endpoint: frames of all its flows share one socket, as those of a VM do.
void sender_run(run_t *run, int from);

#endif
