// cable-uring: frames from one socket to the other by one io_uring_enter a turn.
//
// A turn: take all completions; each received frame becomes an unlinked SEND with MSG_DONTWAIT at
// the other side; give the buffers back; enter the kernel, which sends everything and waits for the
// next frame.
//
// Buffers are given back *before* the enter that sends from them. That is sound: with DEFER_TASKRUN
// receives run in the waiting half of an enter, after all its submissions; a send with MSG_DONTWAIT
// has copied its frame or failed when its submission ends; and receives are armed by entries that
// stand behind all sends. Were they given back after the enter, the receives of that enter would
// find only the buffers that the turn left over.
//
// Linked sends would be reordered, sends without MSG_DONTWAIT may lose frames when they are retried
// (AF_UNIX has consumed the data by then); a send that succeeds posts no completion.

#define _GNU_SOURCE
#include "../cable.h"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/eventfd.h>

/// What a completion belongs to; the side stands in the bits above.
enum { TAG_RECEIVE, TAG_SEND, TAG_STOP, TAG_BITS = 2, TAG_MASK = (1 << TAG_BITS) - 1 };

typedef struct {
    cable_t *cable;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_rings[SIDE_LIMIT];
    uint8_t *memory[SIDE_LIMIT];
    unsigned given_back[SIDE_LIMIT]; ///< Buffers to be published at the end of the turn.
    bool needs_arming[SIDE_LIMIT];
    size_t stride;
    bool is_stopped;
} machine_t;

static int stop_descriptor;

static void stop(int signal_number) {
    cable_stop(signal_number);
    uint64_t one = 1;
    (void)!write(stop_descriptor, &one, sizeof one);
}

static unsigned power_of_two_at_least(unsigned value) {
    unsigned power = 1;
    while (power < value) power *= 2;
    return power;
}

static void prepare_ring(machine_t *machine) {
    // A turn sends at most every buffer once and arms every side once; a send posts a completion
    // only when it fails. So neither queue can overflow.
    unsigned frames = machine->cable->buffers * (unsigned)machine->cable->side_count;
    unsigned entries = power_of_two_at_least(frames + SIDE_LIMIT + 1);
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE
                 | IORING_SETUP_SUBMIT_ALL,
        .cq_entries = entries * 4,
    };
    int result = io_uring_queue_init_params(entries, &machine->ring, &parameters);
    if (result < 0) cable_fail("io_uring_setup", -result);
    result = io_uring_register_ring_fd(&machine->ring);
    if (result < 0) cable_fail("registering the ring", -result);
    int files[SIDE_LIMIT];
    for (int i = 0; i < machine->cable->side_count; i++)
        files[i] = machine->cable->sides[i].descriptor;
    result = io_uring_register_files(&machine->ring, files, (unsigned)machine->cable->side_count);
    if (result < 0) cable_fail("registering the sockets", -result);
}

static uint8_t *buffer_at(machine_t *machine, int side, unsigned id) {
    return machine->memory[side] + id * machine->stride;
}

static void give_back(machine_t *machine, int side, unsigned id) {
    io_uring_buf_ring_add(
        machine->buffer_rings[side], buffer_at(machine, side, id), machine->cable->buffer_size,
        (unsigned short)id, io_uring_buf_ring_mask(machine->cable->buffers),
        (int)machine->given_back[side]++);
}

static void publish(machine_t *machine, int side) {
    if (machine->given_back[side] == 0) return;
    io_uring_buf_ring_advance(machine->buffer_rings[side], (int)machine->given_back[side]);
    machine->given_back[side] = 0;
}

static void *map(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) cable_fail("buffers", errno);
    return memory;
}

static void prepare_buffers(machine_t *machine, int side) {
    unsigned count = machine->cable->buffers;
    machine->memory[side] = map(count * machine->stride);
    machine->buffer_rings[side] = map(count * sizeof(struct io_uring_buf));
    io_uring_buf_ring_init(machine->buffer_rings[side]);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)machine->buffer_rings[side],
        .ring_entries = count,
        .bgid = (uint16_t)side,
    };
    int result = io_uring_register_buf_ring(&machine->ring, &registration, 0);
    if (result < 0) cable_fail("registering a buffer ring", -result);
    for (unsigned id = 0; id < count; id++) give_back(machine, side, id);
    publish(machine, side);
    machine->needs_arming[side] = true;
}

/// The next free entry. There is always one, see `prepare_ring`.
static struct io_uring_sqe *next_entry(machine_t *machine) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&machine->ring);
    if (entry == NULL) cable_fail("submission queue", ENOSPC);
    return entry;
}

static void arm_receive(machine_t *machine, int side) {
    struct io_uring_sqe *entry = next_entry(machine);
    io_uring_prep_recv_multishot(entry, side, NULL, 0, MSG_TRUNC);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->buf_group = (uint16_t)side;
    entry->user_data = (uint64_t)side << TAG_BITS | TAG_RECEIVE;
    machine->needs_arming[side] = false;
}

/// Arms a poll of the descriptor that the signal handler writes to: a flag alone could be set
/// between the last look at it and the wait.
static void arm_stop(machine_t *machine) {
    struct io_uring_sqe *entry = next_entry(machine);
    io_uring_prep_poll_add(entry, stop_descriptor, POLLIN);
    entry->user_data = TAG_STOP;
}

static void stage_send(machine_t *machine, int side, const uint8_t *bytes, unsigned length) {
    struct io_uring_sqe *entry = next_entry(machine);
    io_uring_prep_send(entry, side, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = (uint64_t)side << TAG_BITS | TAG_SEND;
    machine->cable->counts.sent++; // Taken back if a completion says otherwise.
}

static void handle_frame(machine_t *machine, int side, unsigned id, unsigned length) {
    counts_t *counts = &machine->cable->counts;
    const uint8_t *bytes = buffer_at(machine, side, id);
    if (cable_is_magic(bytes, length)) {
        counts->handshakes++;
    } else if (length > machine->cable->buffer_size) {
        counts->received++;
        counts->cut++;
    } else {
        counts->received++;
        stage_send(machine, side ^ 1, bytes, length);
    }
    give_back(machine, side, id);
}

static void handle_receive(machine_t *machine, int side, const struct io_uring_cqe *completion) {
    if (completion->flags & IORING_CQE_F_BUFFER) {
        unsigned id = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        handle_frame(machine, side, id, (unsigned)completion->res);
    } else if (completion->res == -ENOBUFS) {
        machine->cable->counts.exhausted++;
    }
    // A multishot receive ends for many reasons, an empty datagram among them; all are cured by
    // arming it.
    if (!(completion->flags & IORING_CQE_F_MORE)) machine->needs_arming[side] = true;
}

static void handle_failed_send(counts_t *counts, int result) {
    counts->sent--;
    if (result == -EAGAIN) {
        counts->dropped++;
    } else {
        counts->failed++;
    }
}

static void handle(machine_t *machine, const struct io_uring_cqe *completion) {
    int side = (int)(completion->user_data >> TAG_BITS);
    switch (completion->user_data & TAG_MASK) {
    case TAG_RECEIVE: handle_receive(machine, side, completion); break;
    case TAG_SEND: handle_failed_send(&machine->cable->counts, completion->res); break;
    default: machine->is_stopped = true;
    }
}

static void enter(machine_t *machine) {
    int result = io_uring_submit_and_wait(&machine->ring, 1);
    machine->cable->counts.calls++;
    // The kernel waits, and so receives, only when it took all entries. When it ran out of memory
    // for some, they must be sent before their buffers are received into.
    while (io_uring_sq_ready(&machine->ring) > 0) {
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            cable_fail("io_uring_enter", -result);
        }
        result = io_uring_submit(&machine->ring);
        machine->cable->counts.calls++;
    }
}

static void handle_completions(machine_t *machine) {
    struct io_uring_cqe *completion;
    unsigned head;
    unsigned count = 0;
    io_uring_for_each_cqe(&machine->ring, head, completion) {
        handle(machine, completion);
        count++;
    }
    io_uring_cq_advance(&machine->ring, count);
}

static void run(machine_t *machine) {
    arm_stop(machine);
    while (!machine->is_stopped) {
        for (int side = 0; side < machine->cable->side_count; side++) {
            if (machine->needs_arming[side]) arm_receive(machine, side);
            publish(machine, side);
        }
        enter(machine);
        handle_completions(machine);
    }
    // What the last turn staged is still sent, so that the counts are exact.
    io_uring_submit(&machine->ring);
    handle_completions(machine);
}

int main(int argc, char **argv) {
    static cable_t cable;
    static machine_t machine;
    cable_read_options(&cable, argc, argv);
    stop_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_descriptor < 0) cable_fail("eventfd", errno);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    cable_listen(&cable);
    machine.cable = &cable;
    machine.stride = cable_stride(&cable);
    prepare_ring(&machine);
    for (int side = 0; side < cable.side_count; side++) prepare_buffers(&machine, side);
    if (cable_join(&cable)) run(&machine);
    cable_finish(&cable);
    return 0;
}
