// The asking end: how long an answer takes.

#ifndef PINGPONG_ASK_H
#define PINGPONG_ASK_H

#include "histogram.h"
#include "way.h"

#include <stdatomic.h>

/// What is asked, and when.
typedef struct {
    uint32_t size;        ///< Bytes of a question: frame, or payload of UDP.
    double rate;          ///< Questions a second, whether answered or not; 0: one after another.
    uint64_t duration;    ///< Nanoseconds.
    uint64_t lead;        ///< Nanoseconds of the same before, which are not counted.
    uint64_t patience;    ///< Nanoseconds after which an answer is not waited for any more.
    uint64_t await_limit; ///< Nanoseconds to wait for the other end.
} plan_t;

/// What came of it.
typedef struct {
    uint64_t asked;
    uint64_t answered;
    uint64_t refused;    ///< Questions that the kernel did not take.
    uint64_t missed;     ///< Questions of the schedule that were never asked, for lack of time.
    uint64_t disordered; ///< Answers that came again, or behind a later one.
    uint64_t lag_max;    ///< Most nanoseconds that a question was asked behind its schedule.
    uint64_t started;
    uint64_t finished; ///< Times of the first and after the last question.
    histogram_t rtt;   ///< Nanoseconds from question to answer.
} tally_t;

/// Waits for the other end, then asks for as long as the plan says or until `stop` is set.
/// - Returns: false if the other end did not answer in time.
bool ask_run(way_t *way, const plan_t *plan, const atomic_bool *stop, tally_t *tally);

#endif
