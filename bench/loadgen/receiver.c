// The receiving half: reads every endpoint's socket and judges each frame.
#define _GNU_SOURCE
#include "receiver.h"

#include "clock.h"
#include "endpoint.h"
#include "frame.h"
#include "stream.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    OWN_THREADS_WITHOUT_FLOWS =
        8, ///< Endpoints up to which a process that only receives gives each a thread.
    CACHE_LINE = 64,
};

/// Memory of one batch, reused for every batch so that it stays in the cache.
typedef struct {
    unsigned length;
    size_t stride;
    uint8_t *memory;
    struct mmsghdr messages[BATCH_MAX];
    struct iovec pieces[BATCH_MAX];
} batch_t;

static void batch_prepare(batch_t *batch, uint32_t frame_max) {
    batch->length = batch_for(frame_max);
    // One line more than needed: equal offsets of all frames would meet in the same cache sets.
    batch->stride = (frame_max + CACHE_LINE) / CACHE_LINE * CACHE_LINE + CACHE_LINE;
    batch->memory = aligned_alloc(CACHE_LINE, batch->stride * batch->length);
    if (batch->memory == NULL) abort();
    memset(batch->memory, 0, batch->stride * batch->length);
    for (unsigned i = 0; i < batch->length; i++) {
        batch->pieces[i] = (struct iovec){batch->memory + i * batch->stride, batch->stride};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch->pieces[i], .msg_iovlen = 1};
    }
}

static flow_received_t *record_of(endpoint_tally_t *tally, uint16_t flow) {
    if (tally->flows[flow] == NULL) {
        tally->flows[flow] = calloc(1, sizeof(flow_received_t));
        if (tally->flows[flow] == NULL) abort();
    }
    return tally->flows[flow];
}

/// How many addresses a flow goes to in turn; of another process's flow nothing is known.
static uint32_t address_count(const plan_t *plan, uint16_t id) {
    for (int i = 0; i < plan->flow_count; i++) {
        const flow_t *flow = &plan->flows[i];
        if (flow->id == id && flow->spreads) return plan->endpoints[flow->to].extra_macs;
    }
    return 1;
}

static void note_bin(const run_t *run, flow_received_t *record, uint64_t now) {
    uint64_t start = atomic_load_explicit(&run->sending->start, memory_order_relaxed);
    uint64_t bin = start != 0 && now > start ? (now - start) / run->plan.bin_width : 0;
    record->bins[bin < BIN_LIMIT ? bin : BIN_LIMIT - 1]++;
}

static void note_measured(
    const run_t *run, endpoint_tally_t *tally, const uint8_t *bytes, size_t length,
    const frame_fields_t *fields, uint64_t now) {
    flow_received_t *record = record_of(tally, fields->flow);
    if (record->frames == 0) {
        record->first = now;
        record->address_count = address_count(&run->plan, fields->flow);
    }
    record->frames++;
    record->bytes += length;
    record->last = now;
    if (!frame_is_intact(bytes, length, fields)) record->corrupted++;
    sequence_note(&record->sequence, fields->sequence, record->address_count);
    histogram_add(&record->delay, now > fields->stamp ? now - fields->stamp : 0);
    note_bin(run, record, now);
}

static void note_datagram(
    const run_t *run, int index, const uint8_t *bytes, size_t length, uint64_t now) {
    endpoint_tally_t *tally = &run->tallies[index];
    tally->received++;
    tally->received_bytes += length;
    frame_fields_t fields;
    found_t found = frame_read(bytes, length, &fields);
    bool is_expected = found != FOUND_ALIEN && endpoint_expects(&run->plan.endpoints[index], bytes);
    if (found == FOUND_ALIEN) {
        tally->aliens++;
    } else if (found == FOUND_SEGMENT && is_expected) {
        tally->segments++;
        tally->segment_payload += fields.length;
    } else if (found == FOUND_SEGMENT) {
        tally->overheard++;
    } else if (fields.sort == SORT_MEASURED) {
        if (is_expected) {
            note_measured(run, tally, bytes, length, &fields, now);
        } else {
            tally->overheard++;
        }
    } else if (fields.sort == SORT_ANNOUNCEMENT) {
        tally->announcements++;
    } else if (fields.sort == SORT_EXTRA) {
        tally->extras++;
    } else {
        tally->aliens++;
    }
}

/// Reads what a stream has, at most as much as its memory holds.
/// - Returns: whether there may be more.
static bool read_stream(reader_t *reader, stream_t *stream, int index) {
    size_t count = stream_fill(stream, reader->run->plan.endpoints[index].descriptor);
    reader->run->tallies[index].receive_calls++;
    if (count == 0) return false;
    uint64_t now = clock_now();
    atomic_store_explicit(&reader->last_frame, now, memory_order_relaxed);
    const uint8_t *frame;
    size_t length;
    while ((frame = stream_next(stream, &length)) != NULL) {
        note_datagram(reader->run, index, frame, length, now);
    }
    return true;
}

/// Reads one batch of an endpoint.
/// - Returns: false when nothing more is queued.
static bool read_batch(reader_t *reader, batch_t *batch, int index) {
    const endpoint_t *endpoint = &reader->run->plan.endpoints[index];
    unsigned length = batch->length;
    if (endpoint->read_batch != 0 && endpoint->read_batch < length) length = endpoint->read_batch;
    int count = recvmmsg(endpoint->descriptor, batch->messages, length, MSG_DONTWAIT, NULL);
    reader->run->tallies[index].receive_calls++;
    if (count <= 0) return false;
    uint64_t now = clock_now();
    atomic_store_explicit(&reader->last_frame, now, memory_order_relaxed);
    for (int i = 0; i < count; i++) {
        note_datagram(
            reader->run, index, batch->pieces[i].iov_base, batch->messages[i].msg_len, now);
    }
    if (endpoint->reading == READ_SLOWLY) {
        clock_sleep_until(now + endpoint->read_pause * (uint64_t)NANOSECONDS_PER_MICROSECOND);
    }
    return (unsigned)count == length;
}

static void *reader_main(void *argument) {
    reader_t *reader = argument;
    size_t count = (size_t)reader->endpoint_count;
    batch_t batch;
    batch_prepare(&batch, reader->run->plan.frame_max);
    struct pollfd *sockets = calloc(count, sizeof *sockets);
    stream_t *streams = calloc(count, sizeof *streams);
    if (sockets == NULL || streams == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        sockets[i].fd = reader->run->plan.endpoints[reader->endpoints[i]].descriptor;
        sockets[i].events = POLLIN;
    }
    while (!atomic_load_explicit(&reader->run->reading_ends, memory_order_relaxed)) {
        if (poll(sockets, count, PATIENCE_MILLISECONDS) <= 0) continue;
        for (size_t i = 0; i < count; i++) {
            if (sockets[i].revents == 0) continue;
            int index = reader->endpoints[i];
            bool is_stream = reader->run->plan.endpoints[index].is_stream;
            while ((is_stream ? read_stream(reader, &streams[i], index)
                              : read_batch(reader, &batch, index))
                   && !atomic_load_explicit(&reader->run->reading_ends, memory_order_relaxed)) {
            }
        }
    }
    for (size_t i = 0; i < count; i++) free(streams[i].bytes);
    free(streams);
    free(sockets);
    free(batch.memory);
    reader->cpu = clock_thread_cpu();
    return NULL;
}

static bool has_own_thread(const plan_t *plan, int index) {
    if (plan->endpoints[index].reading == READ_SLOWLY) return true;
    if (plan->flow_count == 0) return plan->endpoint_count <= OWN_THREADS_WITHOUT_FLOWS;
    for (int i = 0; i < plan->flow_count; i++) {
        if (plan->flows[i].to == index && plan->flows[i].kind == KIND_MEASURED) return true;
    }
    return false;
}

readers_t readers_start(run_t *run) {
    const plan_t *plan = &run->plan;
    size_t limit = (size_t)plan->endpoint_count + 1;
    readers_t readers = {.readers = calloc(limit, sizeof(reader_t))};
    int *indices = calloc(2 * limit, sizeof *indices);
    if (readers.readers == NULL || indices == NULL) abort();

    reader_t common = {.run = run, .endpoints = indices + limit};
    for (int i = 0; i < plan->endpoint_count; i++) {
        indices[i] = i;
        if (plan->endpoints[i].reading == READ_NEVER) continue;
        if (has_own_thread(plan, i)) {
            readers.readers[readers.count++] =
                (reader_t){.run = run, .endpoints = &indices[i], .endpoint_count = 1};
        } else {
            common.endpoints[common.endpoint_count++] = i;
        }
    }
    if (common.endpoint_count > 0) readers.readers[readers.count++] = common;
    for (int i = 0; i < readers.count; i++) {
        reader_t *reader = &readers.readers[i];
        if (pthread_create(&reader->thread, NULL, reader_main, reader) != 0) abort();
    }
    return readers;
}

uint64_t readers_last_frame(const readers_t *readers) {
    uint64_t last = 0;
    for (int i = 0; i < readers->count; i++) {
        uint64_t one = atomic_load_explicit(&readers->readers[i].last_frame, memory_order_relaxed);
        if (one > last) last = one;
    }
    return last;
}

void readers_end(run_t *run, readers_t *readers) {
    atomic_store(&run->reading_ends, true);
    for (int i = 0; i < readers->count; i++) pthread_join(readers->readers[i].thread, NULL);
}
