// Copying by io_uring: one system call a turn, for all frames of both sides.
//
// A turn: take all completions; each frame read becomes an unlinked WRITE with RWF_NOWAIT at the
// other side; give the buffers back; enter the kernel, which writes everything and waits for the
// next frame. Buffers are given back before the enter that writes from them, which is sound for the
// reasons that cable-uring gives (../uring/main.c). Writes that succeed post no completion.

#define _GNU_SOURCE
#include "tap.h"

#include <errno.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum {
    SHORT_BUFFERS = 64, ///< Receive buffers of a side, as many as the switch has.
    LONG_BUFFERS = 16,
    ENTRIES = 256,      ///< A turn writes every buffer at most once, and arms two reads.
    CACHE_LINE = 64,
    TAG_READ = 0,
    TAG_WRITE = 1,
    STOP_PATIENCE = 100000000, ///< Nanoseconds after which an idle cable looks for a signal.
    OPERATION_READ_MULTISHOT = 49, ///< IORING_OP_READ_MULTISHOT, Linux 6.7.
};

typedef struct {
    cable_t *cable;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_rings[2];
    uint8_t *memory[2];
    bool needs_arming[2];
    int given_back[2]; ///< Buffers to be published at the end of the turn.
    unsigned buffers;
    unsigned buffer_size;
    size_t stride;
} machine_t;

static void *map(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) cable_fail("buffers", errno);
    return memory;
}

static uint8_t *buffer_at(machine_t *machine, int side, unsigned id) {
    return machine->memory[side] + id * machine->stride;
}

static void give_back(machine_t *machine, int side, unsigned id) {
    io_uring_buf_ring_add(
        machine->buffer_rings[side], buffer_at(machine, side, id), machine->buffer_size,
        (unsigned short)id, io_uring_buf_ring_mask(machine->buffers), machine->given_back[side]++);
}

static void publish(machine_t *machine, int side) {
    io_uring_buf_ring_advance(machine->buffer_rings[side], machine->given_back[side]);
    machine->given_back[side] = 0;
}

static void prepare(machine_t *machine) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE
                 | IORING_SETUP_SUBMIT_ALL,
        .cq_entries = ENTRIES * 4,
    };
    int result = io_uring_queue_init_params(ENTRIES, &machine->ring, &parameters);
    if (result < 0) cable_fail("io_uring_setup", -result);
    result = io_uring_register_ring_fd(&machine->ring);
    if (result < 0) cable_fail("registering the ring", -result);
    result = io_uring_register_files(&machine->ring, machine->cable->descriptors, 2);
    if (result < 0) cable_fail("registering the devices", -result);

    machine->buffers = machine->cable->has_header ? LONG_BUFFERS : SHORT_BUFFERS;
    machine->buffer_size = machine->cable->has_header ? LONG_FRAME : SHORT_FRAME;
    // A line more than needed: buffers whole pages apart meet in the same sets of the cache.
    machine->stride = machine->buffer_size + CACHE_LINE;
    for (int side = 0; side < 2; side++) {
        machine->memory[side] = map(machine->buffers * machine->stride);
        machine->buffer_rings[side] = map(machine->buffers * sizeof(struct io_uring_buf));
        io_uring_buf_ring_init(machine->buffer_rings[side]);
        struct io_uring_buf_reg registration = {
            .ring_addr = (uint64_t)(uintptr_t)machine->buffer_rings[side],
            .ring_entries = machine->buffers,
            .bgid = (uint16_t)side,
        };
        result = io_uring_register_buf_ring(&machine->ring, &registration, 0);
        if (result < 0) cable_fail("registering a buffer ring", -result);
        for (unsigned id = 0; id < machine->buffers; id++) give_back(machine, side, id);
        machine->needs_arming[side] = true;
    }
}

static struct io_uring_sqe *next_entry(machine_t *machine, int side, int tag) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&machine->ring);
    if (entry == NULL) cable_fail("submission queue", ENOSPC);
    memset(entry, 0, sizeof *entry);
    entry->fd = side;
    entry->flags = IOSQE_FIXED_FILE;
    entry->user_data = (uint64_t)(side << 1 | tag);
    return entry;
}

static void arm_read(machine_t *machine, int side) {
    struct io_uring_sqe *entry = next_entry(machine, side, TAG_READ);
    entry->opcode = OPERATION_READ_MULTISHOT;
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = (uint16_t)side;
    machine->needs_arming[side] = false;
}

static void stage_write(machine_t *machine, int side, const uint8_t *bytes, unsigned length) {
    struct io_uring_sqe *entry = next_entry(machine, side, TAG_WRITE);
    entry->opcode = IORING_OP_WRITE;
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->addr = (uint64_t)(uintptr_t)bytes;
    entry->len = length;
    entry->rw_flags = RWF_NOWAIT;
    machine->cable->counts.sent++; // Taken back if a completion says otherwise.
}

static void handle(machine_t *machine, const struct io_uring_cqe *completion) {
    counts_t *counts = &machine->cable->counts;
    int side = (int)(completion->user_data >> 1);
    if ((completion->user_data & 1) == TAG_WRITE) {
        counts->sent--;
        counts->failed++;
        return;
    }
    if (completion->flags & IORING_CQE_F_BUFFER) {
        unsigned id = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        if (completion->res > 0) {
            counts->received++;
            stage_write(machine, side ^ 1, buffer_at(machine, side, id), (unsigned)completion->res);
        }
        give_back(machine, side, id);
    } else if (completion->res < 0 && completion->res != -ENOBUFS) {
        cable_fail("reading a device", -completion->res);
    }
    if (!(completion->flags & IORING_CQE_F_MORE)) machine->needs_arming[side] = true;
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

void uring_run(cable_t *cable) {
    static machine_t machine;
    machine.cable = cable;
    prepare(&machine);
    while (!cable_is_stopped) {
        for (int side = 0; side < 2; side++) {
            if (machine.needs_arming[side]) arm_read(&machine, side);
            publish(&machine, side);
        }
        struct io_uring_cqe *first;
        struct __kernel_timespec patience = {.tv_nsec = STOP_PATIENCE};
        int result = io_uring_submit_and_wait_timeout(&machine.ring, &first, 1, &patience, NULL);
        if (result < 0 && result != -ETIME && result != -EINTR) {
            cable_fail("io_uring_enter", -result);
        }
        cable->counts.waits++;
        handle_completions(&machine);
    }
    // What the last turn staged is still written, so that the counts are exact.
    io_uring_submit(&machine.ring);
    handle_completions(&machine);
    io_uring_queue_exit(&machine.ring);
}
