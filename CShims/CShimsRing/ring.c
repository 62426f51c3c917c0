// Set-up and the one system call of a ring. See CShimsRing.h.
#define _GNU_SOURCE
#include "CShimsRing.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct cshims_ring {
    struct io_uring uring;
    uint64_t owner;        // the number of the thread that enabled it, 0 before
    bool is_registered;    // with the owner's thread, at `registered_index`
    int registered_index;
    bool gathers;          // the kernel knows a time to gather completions in
};

// Newer than liburing 2.3; from include/uapi/linux/io_uring.h.
enum { FEATURE_MIN_TIMEOUT = 1 << 15 };  // Linux 6.12

// struct io_uring_getevents_arg, whose padding has become a time.
struct wait_argument {
    uint64_t signal_mask;
    uint32_t signal_mask_size;
    uint32_t gather_microseconds;
    uint64_t limit;
};

// SINGLE_ISSUER and DEFER_TASKRUN (6.0, 6.1): completions are posted only inside our own enter, so
// a turn sees a stable queue. SUBMIT_ALL: one malformed entry does not hold back those behind it.
static const uint32_t ring_flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP
    | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER
    | IORING_SETUP_DEFER_TASKRUN;

int cshims_ring_create(uint32_t submissions, uint32_t completions, struct cshims_ring **result)
{
    struct cshims_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL)
        return -ENOMEM;
    struct io_uring_params params = {.flags = ring_flags, .cq_entries = completions};
    int status = io_uring_queue_init_params(submissions, &ring->uring, &params);
    if (status < 0) {
        free(ring);
        return status;
    }
    // The indirection array stays the identity for ever: entry i of the queue is entry i in memory.
    // Where the kernel can (6.6) liburing does without one since 2.6, which comes to the same.
    for (uint32_t i = 0; ring->uring.sq.array != NULL && i < params.sq_entries; i++)
        ring->uring.sq.array[i] = i;
    ring->gathers = (params.features & FEATURE_MIN_TIMEOUT) != 0;
    *result = ring;
    return 0;
}

// A number for every thread that asks; unlike pthread_t and the kernel's thread id it is never used
// again for another thread.
static uint64_t thread_number(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;
    if (number == 0)
        number = ++last;
    return number;
}

static bool is_owner(const struct cshims_ring *ring)
{
    return ring->owner == thread_number();
}

// The registration of a ring is an index in a table of the calling thread, so all of it is done by
// hand here: liburing would undo it on whatever thread destroys the ring, at the same index of
// another table.
static void register_self(struct cshims_ring *ring)
{
    struct io_uring_rsrc_update update = {.offset = -1U, .data = (uint64_t)ring->uring.ring_fd};
    // A registered ring saves the descriptor lookup of every enter (about 5 %). A thread has
    // sixteen such places; where they are taken the plain descriptor does the same, so a refusal is
    // no error.
    long count = syscall(
        SYS_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_RING_FDS, &update, 1);
    if (count == 1) {
        ring->is_registered = true;
        ring->registered_index = (int)update.offset;
    }
}

static void unregister_self(struct cshims_ring *ring)
{
    struct io_uring_rsrc_update update = {.offset = (uint32_t)ring->registered_index};
    (void)syscall(
        SYS_io_uring_register, ring->uring.ring_fd, IORING_UNREGISTER_RING_FDS, &update, 1);
    ring->is_registered = false;
}

void cshims_ring_destroy(struct cshims_ring *ring)
{
    if (ring->is_registered && is_owner(ring))
        unregister_self(ring);
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

struct cshims_ring_layout cshims_ring_layout(const struct cshims_ring *ring)
{
    const struct io_uring *uring = &ring->uring;
    return (struct cshims_ring_layout){
        .submissions = uring->sq.sqes,
        .submission_head = uring->sq.khead,
        .submission_tail = uring->sq.ktail,
        .submission_count = uring->sq.ring_entries,
        .completions = uring->cq.cqes,
        .completion_head = uring->cq.khead,
        .completion_tail = uring->cq.ktail,
        .completion_count = uring->cq.ring_entries,
    };
}

int cshims_ring_enable(struct cshims_ring *ring)
{
    // Not io_uring_enable_rings(): liburing 2.3 declares it and does not export it.
    int status = (int)syscall(
        SYS_io_uring_register, ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (status < 0)
        return -errno;
    ring->owner = thread_number();
    register_self(ring);
    return 0;
}

int cshims_ring_enter(
    const struct cshims_ring *ring, uint32_t submissions, uint32_t completions,
    uint32_t gather_microseconds, int64_t timeout_nanoseconds)
{
    // The kernel's own answer to another thread, but for a registered ring, whose index would name
    // another ring, or none, in that thread's table.
    if (ring->owner != 0 && !is_owner(ring))
        return -EEXIST;
    unsigned flags = IORING_ENTER_GETEVENTS;
    int descriptor = ring->uring.ring_fd;
    if (ring->is_registered) {
        flags |= IORING_ENTER_REGISTERED_RING;
        descriptor = ring->registered_index;
    }
    struct __kernel_timespec limit;
    struct wait_argument argument = {0};
    void *extra = NULL;
    size_t extra_size = 0;
    if (completions > 1 && (!ring->gathers || gather_microseconds == 0))
        completions = 1;
    if (completions > 0 && (timeout_nanoseconds >= 0 || completions > 1)) {
        if (timeout_nanoseconds >= 0) {
            limit.tv_sec = timeout_nanoseconds / 1000000000;
            limit.tv_nsec = timeout_nanoseconds % 1000000000;
            argument.limit = (uint64_t)(uintptr_t)&limit;
        }
        if (completions > 1)
            argument.gather_microseconds = gather_microseconds;
        extra = &argument;
        extra_size = sizeof argument;
        flags |= IORING_ENTER_EXT_ARG;
    }
    long status = syscall(
        SYS_io_uring_enter, descriptor, submissions, completions, flags, extra, extra_size);
    return status < 0 ? -errno : (int)status;
}

int cshims_ring_submit(const struct cshims_ring *ring, uint32_t submissions)
{
    // As in cshims_ring_enter.
    if (ring->owner != 0 && !is_owner(ring))
        return -EEXIST;
    unsigned flags = ring->is_registered ? IORING_ENTER_REGISTERED_RING : 0;
    int descriptor = ring->is_registered ? ring->registered_index : ring->uring.ring_fd;
    long status = syscall(SYS_io_uring_enter, descriptor, submissions, 0, flags, NULL, 0);
    return status < 0 ? -errno : (int)status;
}

int cshims_ring_register_files(struct cshims_ring *ring, uint32_t slots)
{
    int status = io_uring_register_files_sparse(&ring->uring, slots);
    return status < 0 ? status : 0;
}

int cshims_ring_update_file(struct cshims_ring *ring, uint32_t slot, int descriptor)
{
    int status = io_uring_register_files_update(&ring->uring, slot, &descriptor, 1);
    return status < 0 ? status : 0;
}

int cshims_ring_register_buffers(
    struct cshims_ring *ring, void *entries, uint32_t count, uint16_t group)
{
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)entries, .ring_entries = count, .bgid = group};
    int status = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    return status < 0 ? status : 0;
}

int cshims_ring_unregister_buffers(struct cshims_ring *ring, uint16_t group)
{
    int status = io_uring_unregister_buf_ring(&ring->uring, group);
    return status < 0 ? status : 0;
}

int cshims_ring_supports(struct cshims_ring *ring, uint8_t opcode)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    if (probe == NULL)
        return 0;
    // Not io_uring_opcode_supported(): the library's own list of opcodes is older than the
    // kernel's.
    int supported = opcode <= probe->last_op && opcode < probe->ops_len
        && (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED) != 0;
    io_uring_free_probe(probe);
    return supported;
}

int cshims_ring_try(uint32_t setup_flags)
{
    struct io_uring_params params = {.flags = setup_flags, .cq_entries = 4};
    long descriptor = syscall(SYS_io_uring_setup, 2, &params);
    if (descriptor < 0)
        return -errno;
    close((int)descriptor);
    return 0;
}

int cshims_file_read(const char *path, char *bytes, int capacity)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    ssize_t count = read(descriptor, bytes, (size_t)capacity);
    int status = count < 0 ? -errno : (int)count;
    close(descriptor);
    return status;
}

static uint64_t soft_limit(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

uint64_t cshims_limit_locked_bytes(void)
{
    return soft_limit(RLIMIT_MEMLOCK);
}

uint64_t cshims_limit_descriptors(void)
{
    return soft_limit(RLIMIT_NOFILE);
}

int cshims_event_create(void)
{
    int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

int cshims_event_signal(int descriptor)
{
    const uint64_t one = 1;
    return write(descriptor, &one, sizeof one) < 0 ? -errno : 0;
}

int cshims_event_close(int descriptor)
{
    return close(descriptor) < 0 ? -errno : 0;
}

int cshims_memory_map(uint64_t length, bool huge, void **memory)
{
    void *address = mmap(
        NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
        return -errno;
    if (huge)
        (void)madvise(address, length, MADV_HUGEPAGE);  // advice: a kernel without them is fine
    *memory = address;
    return 0;
}

void cshims_memory_unmap(void *memory, uint64_t length)
{
    (void)munmap(memory, length);
}
