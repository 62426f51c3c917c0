// A switch learns an address from a frame, and takes a port into its floods when the port has a
// peer. An endpoint that has *heard* another one's broadcast is attached itself, and the other one
// is known to the switch; so a flow may start when its two ends have heard each other. Broadcasts
// sent before the other side was attached reach nobody and are repeated.
//
// Extra addresses are announced by frames to the endpoint's own, already known address: the switch
// learns the source and filters the frame, which spares all other ports thousands of broadcasts.

#define _GNU_SOURCE
#include "announce.h"

#include "clock.h"
#include "endpoint.h"
#include "frame.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { REPEAT_INTERVAL = 20 * NANOSECONDS_PER_MILLISECOND, ANNOUNCEMENT_LENGTH = 60 };

static const mac_t broadcast = {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};

static bool send_one(
    const endpoint_t *endpoint, sort_t sort, const mac_t *destination, const mac_t *source) {
    uint8_t bytes[STREAM_PREFIX_LENGTH + ANNOUNCEMENT_LENGTH];
    frame_fields_t fields = {.sort = sort, .length = ANNOUNCEMENT_LENGTH};
    frame_write(bytes + STREAM_PREFIX_LENGTH, destination, source, &fields);
    stream_write_prefix(bytes, ANNOUNCEMENT_LENGTH);
    size_t skipped = endpoint->is_stream ? 0 : STREAM_PREFIX_LENGTH;
    const uint8_t *message = bytes + skipped;
    size_t length = sizeof bytes - skipped;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (send(endpoint->descriptor, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return true;
        if (errno != EAGAIN) return false;
        struct pollfd writable = {.fd = endpoint->descriptor, .events = POLLOUT};
        poll(&writable, 1, PATIENCE_MILLISECONDS);
    }
    return false;
}

/// `heard[listener][speaker]`, as one array.
static bool *heard_by(bool *heard, int count, int listener) {
    return heard + (size_t)listener * (size_t)count;
}

static int endpoint_with(const plan_t *plan, const uint8_t *mac) {
    for (int i = 0; i < plan->endpoint_count; i++) {
        if (memcmp(plan->endpoints[i].mac.bytes, mac, MAC_LENGTH) == 0) return i;
    }
    return -1;
}

/// Reads the next frame that is queued at an endpoint. A stream holds whole announcements only as
/// long as nothing else is sent, which is so until the flows begin.
static ssize_t read_one(const endpoint_t *endpoint, uint8_t *bytes, size_t capacity) {
    uint8_t prefix[STREAM_PREFIX_LENGTH];
    if (endpoint->is_stream
        && recv(endpoint->descriptor, prefix, sizeof prefix, MSG_DONTWAIT) != sizeof prefix) {
        return -1;
    }
    return recv(endpoint->descriptor, bytes, capacity, MSG_DONTWAIT | MSG_TRUNC);
}

/// Reads everything that is queued at one endpoint.
static void listen_at(run_t *run, int listener, bool *heard) {
    uint8_t bytes[ANNOUNCEMENT_LENGTH];
    endpoint_tally_t *tally = &run->tallies[listener];
    ssize_t length;
    const endpoint_t *endpoint = &run->plan.endpoints[listener];
    while ((length = read_one(endpoint, bytes, sizeof bytes)) >= 0) {
        tally->received++;
        tally->received_bytes += (uint64_t)length;
        size_t kept = (size_t)length < sizeof bytes ? (size_t)length : sizeof bytes;
        frame_fields_t fields;
        found_t found = frame_read(bytes, kept, &fields);
        if (found == FOUND_SEGMENT) {
            tally->overheard++; // Of another process, which began early.
        } else if (found == FOUND_ALIEN) {
            tally->aliens++;
        } else if (fields.sort == SORT_MEASURED) {
            tally->overheard++; // Of another process, which began early.
        } else if (fields.sort == SORT_ANNOUNCEMENT) {
            tally->announcements++;
            int speaker = endpoint_with(&run->plan, bytes + MAC_LENGTH);
            if (speaker >= 0) heard_by(heard, run->plan.endpoint_count, listener)[speaker] = true;
        } else {
            tally->extras++;
        }
    }
}

/// Marks in `waiting` the endpoints of flows whose ends have not heard each other.
static bool somebody_waits(const plan_t *plan, bool *heard, bool *waiting) {
    bool some = false;
    memset(waiting, 0, (size_t)plan->endpoint_count);
    for (int i = 0; i < plan->flow_count && !plan->hears_nobody; i++) {
        const flow_t *flow = &plan->flows[i];
        if (flow->to < 0 || flow->to == flow->from) continue;
        if (heard_by(heard, plan->endpoint_count, flow->to)[flow->from]
            && heard_by(heard, plan->endpoint_count, flow->from)[flow->to])
            continue;
        waiting[flow->from] = waiting[flow->to] = some = true;
    }
    return some;
}

static void announce_extras(run_t *run) {
    for (int i = 0; i < run->plan.endpoint_count; i++) {
        const endpoint_t *endpoint = &run->plan.endpoints[i];
        for (uint32_t extra = 0; extra < endpoint->extra_macs; extra++) {
            mac_t source = endpoint_extra_mac(endpoint, extra);
            if (send_one(endpoint, SORT_EXTRA, &endpoint->mac, &source))
                run->tallies[i].extras_sent++;
        }
    }
}

static void announce_endpoint(run_t *run, int index) {
    const endpoint_t *endpoint = &run->plan.endpoints[index];
    if (send_one(endpoint, SORT_ANNOUNCEMENT, &broadcast, &endpoint->mac)) {
        run->tallies[index].announcements_sent++;
    }
}

bool announce(run_t *run, uint64_t deadline) {
    plan_t *plan = &run->plan;
    size_t count = (size_t)plan->endpoint_count;
    bool *heard = calloc(count, count);
    bool *waiting = calloc(count, 1);
    struct pollfd *sockets = calloc(count, sizeof *sockets);
    if (heard == NULL || waiting == NULL || sockets == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        sockets[i] = (struct pollfd){.fd = plan->endpoints[i].descriptor, .events = POLLIN};
        announce_endpoint(run, (int)i);
    }
    uint64_t repeat_at = clock_now() + REPEAT_INTERVAL;
    bool some;
    while ((some = somebody_waits(plan, heard, waiting)) && clock_now() < deadline) {
        poll(sockets, count, 5);
        for (size_t i = 0; i < count; i++) listen_at(run, (int)i, heard);
        if (clock_now() < repeat_at) continue;
        repeat_at = clock_now() + REPEAT_INTERVAL;
        for (size_t i = 0; i < count; i++) {
            if (waiting[i]) announce_endpoint(run, (int)i);
        }
    }
    for (size_t i = 0; some && i < count; i++) {
        if (!waiting[i]) continue;
        fprintf(
            stderr, "loadgen: %s: the other end of its flow was not heard\n",
            plan->endpoints[i].name);
    }
    if (!some) announce_extras(run);
    free(heard);
    free(waiting);
    free(sockets);
    return !some;
}
