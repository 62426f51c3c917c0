// One turn: see how many frames each flow may send now, build a batch in which the flows take
// turns, hand it to the kernel. A frame keeps the stamp of its first attempt: time spent before a
// full socket is delay.
//
// When the socket is full, a well-behaved peer waits for POLLOUT. It comes only when the switch
// connected its socket back to ours; else the kernel wakes us at the first read, which is as good.
// A flow with when-full=drop gives up what was refused, and its frames are numbered anew so that
// the receiver counts only losses of the switch.

#define _GNU_SOURCE
#include "sender.h"

#include "clock.h"
#include "endpoint.h"
#include "frame.h"
#include "hostile.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum {
    PACING_GRAIN = 50 * NANOSECONDS_PER_MICROSECOND, ///< Shortest sleep of a paced sender.
    REFUSAL_PAUSE = 50 * NANOSECONDS_PER_MICROSECOND,
    ERROR_PAUSE = NANOSECONDS_PER_MILLISECOND,
};

typedef struct {
    const flow_t *flow;
    flow_sent_t *counts;
    uint64_t begin;    ///< Time of its first frame.
    uint64_t total;    ///< Frames after which it is over.
    uint64_t end;      ///< Time after which it is over, however many frames are missing.
    uint64_t built;    ///< Frames built and not taken back.
    uint64_t sequence; ///< Number of the next frame.
    uint64_t random;
    uint64_t allowance; ///< Frames that may be built in this turn.
    bool over;
} active_t;

typedef struct {
    run_t *run;
    const endpoint_t *endpoint;
    active_t *actives;
    int active_count;
    unsigned batch;
    struct mmsghdr messages[BATCH_MAX];
    struct iovec pieces[BATCH_MAX][2];
    active_t *owners[BATCH_MAX]; ///< The flow of each message.
    uint8_t heads[BATCH_MAX][STREAM_PREFIX_LENGTH + FRAME_HEAD_LENGTH];
    size_t prefix_length; ///< Bytes of each message before its frame.
} sender_t;

static bool is_stopped(const sender_t *sender) {
    return atomic_load_explicit(&sender->run->sending->stop, memory_order_relaxed);
}

/// Fixes when a flow begins and when it is over. A paced flow with a duration is a number of
/// frames; it may run late by a tenth, so that its last frames are not cut off by a late wake-up.
static void activate(sender_t *sender, active_t *active, const flow_t *flow) {
    uint64_t start = atomic_load(&sender->run->sending->start);
    *active = (active_t){
        .flow = flow,
        .counts = &sender->run->sending->flows[flow->id],
        .begin = start + flow->start,
        .total = flow->count != 0 ? flow->count : UINT64_MAX,
        .end = UINT64_MAX,
        .random = flow->seed * 2 + 1,
    };
    if (flow->duration == 0) return;
    active->end = active->begin + flow->duration;
    if (flow->rate == 0) return;
    uint64_t scheduled = (uint64_t)(flow->rate * (double)flow->duration / 1e9 + 0.5);
    if (scheduled < active->total) active->total = scheduled;
    active->end += flow->duration / 10 + 10 * NANOSECONDS_PER_MILLISECOND;
}

static void finish(active_t *active) {
    active->over = true;
    if (active->total != UINT64_MAX) active->counts->missed = active->total - active->built;
}

/// Sets how many frames the flow may build at `now`, and brings `wake` forward to when it may build
/// the next.
static void allow(active_t *active, unsigned batch, uint64_t now, uint64_t *wake) {
    active->allowance = 0;
    if (active->over) return;
    if (active->built >= active->total || now >= active->end) return finish(active);
    if (now < active->begin) {
        if (active->begin < *wake) *wake = active->begin;
        return;
    }
    uint64_t left = active->total - active->built;
    active->allowance = left < batch ? left : batch;
    if (active->flow->rate == 0) return;

    double period = 1e9 / active->flow->rate;
    uint64_t due = (uint64_t)((double)(now - active->begin) / period) + 1;
    uint64_t next = active->begin + (uint64_t)((double)active->built * period);
    if (due <= active->built) {
        active->allowance = 0;
        if (next < *wake) *wake = next;
        return;
    }
    if (now - next > active->counts->lag_max) active->counts->lag_max = now - next;
    if (due - active->built < active->allowance) active->allowance = due - active->built;
}

static void build(sender_t *sender, unsigned slot, active_t *active, uint64_t now) {
    const flow_t *flow = active->flow;
    struct iovec *pieces = sender->pieces[slot];
    uint8_t *head = sender->heads[slot] + STREAM_PREFIX_LENGTH;
    pieces[0].iov_base = head;
    if (flow->kind == KIND_MEASURED) {
        mac_t destination = flow->destination;
        if (flow->spreads) {
            const endpoint_t *to = &sender->run->plan.endpoints[flow->to];
            destination = endpoint_extra_mac(to, (uint32_t)(active->sequence % to->extra_macs));
        }
        frame_fields_t fields = {
            .sort = SORT_MEASURED,
            .check = flow->check,
            .shape = flow->shape,
            .flow = flow->id,
            .length = flow->length,
            .sequence = active->sequence,
            .stamp = now,
        };
        const uint8_t *tail =
            frame_write(head, &destination, &sender->endpoint->mac, &fields);
        bool is_long = flow->length > FRAME_HEAD_LENGTH;
        pieces[0].iov_len = is_long ? FRAME_HEAD_LENGTH : flow->length;
        pieces[1].iov_base = (void *)(uintptr_t)tail;
        pieces[1].iov_len = is_long ? flow->length - FRAME_HEAD_LENGTH : 0;
    } else {
        hostile_t datagram =
            hostile_write(flow, &sender->endpoint->mac, &active->random, head);
        pieces[0].iov_len = datagram.head_length;
        pieces[1].iov_base = (void *)(uintptr_t)datagram.tail;
        pieces[1].iov_len = datagram.tail_length;
    }
    if (sender->prefix_length > 0) {
        stream_write_prefix(
            sender->heads[slot], (uint32_t)(pieces[0].iov_len + pieces[1].iov_len));
        pieces[0].iov_base = sender->heads[slot];
        pieces[0].iov_len += STREAM_PREFIX_LENGTH;
    }
    sender->messages[slot].msg_hdr.msg_iov = pieces;
    sender->messages[slot].msg_hdr.msg_iovlen = pieces[1].iov_len > 0 ? 2 : 1;
    sender->owners[slot] = active;
    active->sequence++;
    active->built++;
    active->counts->offered++;
    if (active->counts->first == 0) active->counts->first = now;
}

/// Builds the next batch; flows that may send take turns.
/// - Returns: its length; 0 leaves in `wake` when there will be something to do.
static unsigned fill(sender_t *sender, uint64_t now, uint64_t *wake) {
    for (int i = 0; i < sender->active_count; i++) {
        allow(&sender->actives[i], sender->batch, now, wake);
    }
    unsigned length = 0;
    bool found = true;
    while (found && length < sender->batch) {
        found = false;
        for (int i = 0; i < sender->active_count && length < sender->batch; i++) {
            if (sender->actives[i].allowance == 0) continue;
            sender->actives[i].allowance--;
            build(sender, length++, &sender->actives[i], now);
            found = true;
        }
    }
    return length;
}

static void count_sent(sender_t *sender, unsigned from, unsigned to) {
    uint64_t now = clock_now();
    for (unsigned slot = from; slot < to; slot++) {
        flow_sent_t *counts = sender->owners[slot]->counts;
        counts->sent++;
        counts->sent_bytes += sender->pieces[slot][0].iov_len + sender->pieces[slot][1].iov_len
                              - sender->prefix_length;
        counts->last = now;
    }
}

/// Gives up the rest of a batch. Frames of flows that wait are built again in the next turn.
static void take_back(sender_t *sender, unsigned from, unsigned length) {
    for (unsigned slot = from; slot < length; slot++) {
        active_t *active = sender->owners[slot];
        active->sequence--;
        if (active->flow->drops_when_full) {
            active->counts->dropped++;
        } else {
            active->built--;
            active->counts->offered--;
        }
    }
}

static void wait_for_room(sender_t *sender, active_t *active) {
    uint64_t before = clock_now();
    struct pollfd writable = {.fd = sender->endpoint->descriptor, .events = POLLOUT};
    poll(&writable, 1, PATIENCE_MILLISECONDS);
    active->counts->wait_nanoseconds += clock_now() - before;
}

static bool is_end_of_peer(int error) {
    return error == ECONNREFUSED || error == ENOTCONN || error == EPERM || error == ECONNRESET
           || error == EPIPE;
}

/// Deals with the refusal of the message in `slot`.
/// - Returns: the slot to go on with; `length` gives the batch up.
static unsigned handle_refusal(sender_t *sender, unsigned slot, unsigned length, int error) {
    active_t *active = sender->owners[slot];
    if (error == EINTR) return slot;
    if (error == EAGAIN || error == ENOBUFS) {
        active->counts->refused++;
        if (!active->flow->drops_when_full) {
            wait_for_room(sender, active);
            if (clock_now() < active->end) return slot;
        } else {
            clock_sleep_until(clock_now() + REFUSAL_PAUSE);
        }
        take_back(sender, slot, length);
        return length;
    }
    active->counts->errors++;
    active->counts->last_error = error;
    if (!is_end_of_peer(error)) return slot + 1;
    if (sender->endpoint->rejoins) endpoint_rejoin(sender->endpoint);
    clock_sleep_until(clock_now() + ERROR_PAUSE);
    take_back(sender, slot, length);
    return length;
}

static void deliver(sender_t *sender, unsigned length) {
    unsigned slot = 0;
    while (slot < length) {
        int count = sendmmsg(
            sender->endpoint->descriptor, sender->messages + slot, length - slot,
            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0 && sender->endpoint->is_stream) {
            // The last one may have been cut off, and its rest must come before anything else.
            const struct mmsghdr *last = &sender->messages[slot + (unsigned)count - 1];
            stream_finish(sender->endpoint->descriptor, &last->msg_hdr, last->msg_len);
        }
        if (count > 0) {
            count_sent(sender, slot, slot + (unsigned)count);
            slot += (unsigned)count;
        } else {
            slot = handle_refusal(sender, slot, length, errno);
        }
        if (slot < length && is_stopped(sender)) {
            take_back(sender, slot, length);
            slot = length;
        }
    }
}

static bool is_over(const sender_t *sender) {
    for (int i = 0; i < sender->active_count; i++) {
        if (!sender->actives[i].over) return false;
    }
    return true;
}

static sender_t *prepare(run_t *run, int from) {
    sender_t *sender = calloc(1, sizeof *sender);
    if (sender == NULL) abort();
    sender->run = run;
    sender->endpoint = &run->plan.endpoints[from];
    sender->prefix_length = sender->endpoint->is_stream ? STREAM_PREFIX_LENGTH : 0;
    sender->actives = calloc((size_t)run->plan.flow_count, sizeof(active_t));
    if (sender->actives == NULL) abort();
    uint32_t longest = 0;
    for (int i = 0; i < run->plan.flow_count; i++) {
        const flow_t *flow = &run->plan.flows[i];
        if (flow->from != from) continue;
        activate(sender, &sender->actives[sender->active_count++], flow);
        if (flow->length > longest) longest = flow->length;
    }
    sender->batch = batch_for(longest);
    return sender;
}

void sender_run(run_t *run, int from) {
    // Timers of ordinary threads may be 50 us late: too coarse for pacing.
    prctl(PR_SET_TIMERSLACK, 1);
    sender_t *sender = prepare(run, from);
    while (!is_stopped(sender) && !is_over(sender)) {
        uint64_t now = clock_now();
        uint64_t wake = now + PATIENCE_MILLISECONDS * (uint64_t)NANOSECONDS_PER_MILLISECOND;
        unsigned length = fill(sender, now, &wake);
        if (length > 0) {
            deliver(sender, length);
        } else if (!is_over(sender)) {
            clock_sleep_until(wake > now + PACING_GRAIN ? wake : now + PACING_GRAIN);
        }
    }
    for (int i = 0; i < sender->active_count; i++) {
        if (!sender->actives[i].over) finish(&sender->actives[i]);
    }
    free(sender->actives);
    free(sender);
}
