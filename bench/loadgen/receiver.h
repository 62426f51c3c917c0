// Receiving: threads that read endpoints and measure what comes.

#ifndef LOADGEN_RECEIVER_H
#define LOADGEN_RECEIVER_H

#include "run.h"

/// One thread and the endpoints that it reads.
typedef struct {
    run_t *run;
    int *endpoints; ///< Indices.
    int endpoint_count;
    pthread_t thread;
    uint64_t cpu;                ///< Nanoseconds used, written at the end.
    _Atomic uint64_t last_frame; ///< Time at which the thread last read something.
} reader_t;

/// All readers of a run. Receivers of flows and slow readers have a thread each; one thread drains
/// the others.
typedef struct {
    reader_t *readers;
    int count;
} readers_t;

/// Starts the threads.
readers_t readers_start(run_t *run);

/// Time at which any of them last read something, 0 if never.
uint64_t readers_last_frame(const readers_t *readers);

/// Ends the threads and waits for them.
void readers_end(run_t *run, readers_t *readers);

#endif
