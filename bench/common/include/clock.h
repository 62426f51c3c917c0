// Time: one clock for every stamp, so that stamps of different processes can be subtracted.

#ifndef MEASURING_CLOCK_H
#define MEASURING_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { NANOSECONDS_PER_MICROSECOND = 1000, NANOSECONDS_PER_MILLISECOND = 1000000 };
#define NANOSECONDS_PER_SECOND 1000000000ull

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
static inline uint64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/// Nanoseconds of CPU time that the calling thread has used.
static inline uint64_t clock_thread_cpu(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * NANOSECONDS_PER_SECOND + (uint64_t)used.tv_nsec;
}

/// Sleeps until `deadline` of `clock_now`, or until a signal arrives.
static inline void clock_sleep_until(uint64_t deadline) {
    struct timespec at = {
        .tv_sec = (time_t)(deadline / NANOSECONDS_PER_SECOND),
        .tv_nsec = (long)(deadline % NANOSECONDS_PER_SECOND),
    };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

#endif
