// A question carries the time at which it was asked, and its answer brings it back: the asking end
// remembers nothing.
//
// Questions follow one another, each as soon as the last one was answered or given up; or they
// follow a schedule, whether earlier ones were answered or not. Otherwise one slow answer would
// keep the questions from being asked that would have been slow as well, and percentiles would know
// nothing of a stall but a single value.

#define _GNU_SOURCE
#include "ask.h"

#include "clock.h"

#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { HELLO_INTERVAL = 20 * NANOSECONDS_PER_MILLISECOND };

typedef struct {
    way_t *way;
    const plan_t *plan;
    const atomic_bool *stop;
    tally_t *tally;
    uint64_t number;   ///< Of the next question.
    uint64_t expected; ///< One above the highest number answered.
} asking_t;

static bool is_stopped(const asking_t *asking) {
    return atomic_load_explicit(asking->stop, memory_order_relaxed);
}

static void ask(asking_t *asking, uint64_t now) {
    asking->tally->asked++;
    if (!way_ask(asking->way, asking->number++, now, asking->plan->size)) {
        asking->tally->refused++;
    }
}

static void note(asking_t *asking, const message_t *answer, uint64_t now) {
    if (answer->number < asking->expected) {
        asking->tally->disordered++;
        return;
    }
    asking->expected = answer->number + 1;
    asking->tally->answered++;
    histogram_add(&asking->tally->rtt, now - answer->stamp);
}

/// Takes answers until that of the last question is among them or the time for it is over.
static uint64_t await_answer(asking_t *asking, uint64_t now) {
    uint64_t deadline = now + asking->plan->patience;
    message_t answer;
    while (asking->expected < asking->number && now < deadline && !is_stopped(asking)) {
        bool has_answer = way_receive(asking->way, &answer, 0) >= 0;
        now = clock_now();
        if (has_answer) note(asking, &answer, now);
    }
    return now;
}

static void ask_in_turn(asking_t *asking, uint64_t now, uint64_t end) {
    while (now < end && !is_stopped(asking)) {
        ask(asking, now);
        now = await_answer(asking, now);
    }
}

/// Waits for an answer until `deadline` and takes it.
/// - Returns: the time.
static uint64_t listen_until(asking_t *asking, uint64_t now, uint64_t deadline) {
    struct pollfd socket = {.fd = asking->way->descriptor, .events = POLLIN};
    uint64_t left = deadline - now;
    struct timespec limit = {
        .tv_sec = (time_t)(left / NANOSECONDS_PER_SECOND),
        .tv_nsec = (long)(left % NANOSECONDS_PER_SECOND),
    };
    message_t answer;
    bool has_answer =
        ppoll(&socket, 1, &limit, NULL) > 0 && way_receive(asking->way, &answer, MSG_DONTWAIT) >= 0;
    now = clock_now();
    if (has_answer) note(asking, &answer, now);
    return now;
}

static void ask_by_schedule(asking_t *asking, uint64_t now, uint64_t end) {
    uint64_t begin = now;
    double period = 1e9 / asking->plan->rate;
    uint64_t slot = 0;
    while (now < end && !is_stopped(asking)) {
        uint64_t due = begin + (uint64_t)((double)slot * period);
        if (now < due) {
            now = listen_until(asking, now, due < end ? due : end);
            continue;
        }
        if (now - due > asking->tally->lag_max) asking->tally->lag_max = now - due;
        ask(asking, now);
        // Slots that have passed are left out rather than made up for by a burst.
        uint64_t next = (uint64_t)((double)(now - begin) / period) + 1;
        asking->tally->missed += next - slot - 1;
        slot = next;
        now = clock_now();
    }
    uint64_t deadline = now + asking->plan->patience;
    while (asking->expected < asking->number && now < deadline && !is_stopped(asking)) {
        now = listen_until(asking, now, deadline);
    }
}

/// Asks until something was answered: then both ends are attached, and known to whoever learns.
static bool await_other_end(asking_t *asking) {
    uint64_t now = clock_now();
    uint64_t deadline = now + asking->plan->await_limit;
    while (asking->expected == 0 && now < deadline && !is_stopped(asking)) {
        ask(asking, now);
        uint64_t repeat_at = now + HELLO_INTERVAL;
        while (asking->expected == 0 && now < repeat_at) {
            now = listen_until(asking, now, repeat_at);
        }
    }
    return asking->expected > 0;
}

static void ask_for(asking_t *asking, uint64_t duration) {
    memset(asking->tally, 0, sizeof *asking->tally);
    uint64_t now = clock_now();
    asking->tally->started = now;
    if (asking->plan->rate > 0) {
        ask_by_schedule(asking, now, now + duration);
    } else {
        ask_in_turn(asking, now, now + duration);
    }
    asking->tally->finished = clock_now();
}

bool ask_run(way_t *way, const plan_t *plan, const atomic_bool *stop, tally_t *tally) {
    asking_t asking = {.way = way, .plan = plan, .stop = stop, .tally = tally};
    // Timers of ordinary threads may be 50 us late: too coarse for a schedule.
    prctl(PR_SET_TIMERSLACK, 1);
    way_set_patience(way, plan->patience);
    if (!await_other_end(&asking)) return false;
    ask_for(&asking, plan->lead);
    ask_for(&asking, plan->duration);
    return true;
}
