// State of a run: what threads and processes of one load generator share, and what they count.
//
// One writer per number. The sending process counts in `sending_t`, which lives in memory shared
// with the receiving process; everything else belongs to the receiving process. Counts are read
// after their writer has ended, so they need no ordering; only the flags are atomic.

#ifndef LOADGEN_RUN_H
#define LOADGEN_RUN_H

#include "histogram.h"
#include "plan.h"
#include "sequence.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
    BATCH_MAX = 64, ///< Datagrams of one sendmmsg or recvmmsg.
    BIN_LIMIT = 1200,
    PATIENCE_MILLISECONDS = 50, ///< Longest wait before a thread looks at the stop flag.
};

/// What the sender of one flow counts.
typedef struct {
    uint64_t offered; ///< Frames given to the kernel at least once.
    uint64_t sent;    ///< Frames that the kernel took.
    uint64_t sent_bytes;
    uint64_t refused;          ///< Times that the kernel said EAGAIN.
    uint64_t dropped;          ///< Frames given up after a refusal (when-full=drop).
    uint64_t missed;           ///< Frames of the schedule that were never built, for lack of time.
    uint64_t errors;           ///< Sends that failed otherwise.
    int last_error;            ///< errno of the last of them.
    uint64_t wait_nanoseconds; ///< Time spent waiting for POLLOUT.
    uint64_t first;            ///< Stamp of the first frame.
    uint64_t last;             ///< Time of the last success.
    uint64_t lag_max;          ///< Most nanoseconds that a frame was built behind its schedule.
} flow_sent_t;

/// Memory shared by the sending and the receiving process.
typedef struct {
    atomic_bool stop;       ///< Set by a signal: senders end at once.
    _Atomic uint64_t start; ///< Time of `clock_now` at which the flows' schedules begin.
    uint64_t cpu_user; ///< Nanoseconds used by the sending process, 0 if it is the receiving one.
    uint64_t cpu_system;
    flow_sent_t flows[FLOW_LIMIT];
} sending_t;

/// What one endpoint receives of one flow.
typedef struct {
    uint64_t frames;
    uint64_t bytes;
    uint64_t corrupted;
    uint64_t first; ///< Time at which the first frame was read.
    uint64_t last;
    uint32_t address_count; ///< Addresses that the flow goes to in turn.
    sequence_t sequence;
    histogram_t delay;
    uint32_t bins[BIN_LIMIT];
} flow_received_t;

/// What one endpoint counts.
typedef struct {
    uint64_t magic_sent;
    uint64_t announcements_sent;
    uint64_t extras_sent;
    uint64_t received; ///< Datagrams of every sort.
    uint64_t received_bytes;
    uint64_t announcements;
    uint64_t extras;
    uint64_t overheard; ///< Measured frames for somebody else: the switch flooded them.
    uint64_t segments;  ///< Pieces of TCP-shaped frames.
    uint64_t segment_payload; ///< Bytes of their payload.
    uint64_t aliens; ///< Datagrams that no load generator wrote, or with a broken header.
    uint64_t receive_calls;
    flow_received_t *flows[FLOW_LIMIT];
} endpoint_tally_t;

typedef struct {
    plan_t plan;
    sending_t *sending;
    endpoint_tally_t *tallies; ///< One per endpoint.
    atomic_bool reading_ends;
    uint64_t started;  ///< Copies of times, for the report.
    uint64_t finished; ///< When the last sender had ended.
    uint64_t cpu_user; ///< Nanoseconds of the receiving process.
    uint64_t cpu_system;
} run_t;

/// Frames of one system call: a batch of long frames would only fill the cache.
static inline unsigned batch_for(uint32_t frame_length) {
    if (frame_length <= 2048) return 64;
    return frame_length <= 9216 ? 32 : 16;
}

#endif
