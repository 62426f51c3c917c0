// The kernel's edge of IORing: io_uring through liburing 2.3, which knows no more than Linux 6.1.
//
// Theory of operation. liburing sets a ring up, registers with it and takes it down; it does
// nothing on the way of a frame. IORing works on the shared queues itself, through the addresses
// that cshims_ring_layout() gives, writes entries with the inline functions below, and crosses into
// the kernel with cshims_ring_enter(), one system call.
//
// Functions that can fail return 0 (or a count) or -errno, never errno itself. Opaque pointers keep
// liburing's types out of Swift. Constants newer than the installed headers are defined here, each
// with the kernel that introduced it; the numbers are kernel ABI and cannot change.
#pragma once

#include <linux/time_types.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

// Not <liburing.h>: it sets _XOPEN_SOURCE, and fd_set then differs from that of Swift's Glibc
// module. It needs <linux/time_types.h> before it.
#include <liburing/io_uring.h>

// Linux 4.13, include/uapi/linux/fs.h.
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

// MARK: - The ring

struct cshims_ring;

/// Addresses of the shared queues of a ring; valid until cshims_ring_destroy().
struct cshims_ring_layout {
    void *submissions;            // submission_count entries of 64 bytes
    uint32_t *submission_head;    // the kernel writes, we read
    uint32_t *submission_tail;    // we write, the kernel reads
    uint32_t submission_count;    // a power of two
    void *completions;            // completion_count entries of 16 bytes
    uint32_t *completion_head;    // we write, the kernel reads
    uint32_t *completion_tail;    // the kernel writes, we read
    uint32_t completion_count;    // a power of two
};

/// Creates a disabled ring with the flags that ringswitch uses; any thread may enable it later.
int cshims_ring_create(uint32_t submissions, uint32_t completions, struct cshims_ring **ring);

/// Unmaps the queues and closes the ring. The kernel cancels what is still armed, later.
void cshims_ring_destroy(struct cshims_ring *ring);

struct cshims_ring_layout cshims_ring_layout(const struct cshims_ring *ring);

/// Enables a ring and makes the calling thread its only submitter.
int cshims_ring_enable(struct cshims_ring *ring);

/// Submits and waits: one io_uring_enter. A negative timeout means none. More than one completion
/// is waited for no longer than the time to gather them in; then one is enough.
int cshims_ring_enter(
    const struct cshims_ring *ring, uint32_t submissions, uint32_t completions,
    uint32_t gather_microseconds,
    int64_t timeout_nanoseconds);

/// Submits without running deferred work: completions of what ends at once appear, arrivals do not.
int cshims_ring_submit(const struct cshims_ring *ring, uint32_t submissions);

int cshims_ring_register_files(struct cshims_ring *ring, uint32_t slots);
int cshims_ring_update_file(struct cshims_ring *ring, uint32_t slot, int descriptor);
int cshims_ring_register_buffers(
    struct cshims_ring *ring, void *entries, uint32_t count, uint16_t group);
int cshims_ring_unregister_buffers(struct cshims_ring *ring, uint16_t group);

/// 1 if the running kernel knows the opcode, 0 if not.
int cshims_ring_supports(struct cshims_ring *ring, uint8_t opcode);

/// Sets up and closes a ring of two entries with the given flags: 0 or -errno.
int cshims_ring_try(uint32_t setup_flags);

// MARK: - Surroundings

/// Reads at most `capacity` bytes of a small file such as those of /proc: a count, or -errno.
int cshims_file_read(const char *path, char *bytes, int capacity);

/// The soft RLIMIT_MEMLOCK in bytes, UINT64_MAX without limit.
uint64_t cshims_limit_locked_bytes(void);

/// The soft RLIMIT_NOFILE, UINT64_MAX without limit.
uint64_t cshims_limit_descriptors(void);

// MARK: - Wake

int cshims_event_create(void);
int cshims_event_signal(int descriptor);
int cshims_event_close(int descriptor);

// MARK: - Pool memory

/// Maps zeroed private memory, page aligned; with `huge` set it advises huge pages.
int cshims_memory_map(uint64_t length, bool huge, void **memory);
void cshims_memory_unmap(void *memory, uint64_t length);

// MARK: - Submission entries
//
// An entry is struct io_uring_sqe, 64 bytes. Each function writes all of them, so that entries need
// no clearing in between.

/// Writes an entry as eight words; every request below is one call of this.
static inline void cshims_entry_write(
    void *entry, uint8_t opcode, uint8_t flags, uint16_t priority, uint32_t file, uint64_t address,
    uint32_t length, uint32_t mode, uint64_t tag, uint16_t group)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "submission entries are written as little-endian words"
#endif
    uint64_t *words = (uint64_t *)entry;
    words[0] = opcode | (uint64_t)flags << 8 | (uint64_t)priority << 16 | (uint64_t)file << 32;
    words[1] = 0;                               // off
    words[2] = address;                         // addr
    words[3] = length | (uint64_t)mode << 32;   // len, and msg_flags, rw_flags or the like
    words[4] = tag;                             // user_data
    words[5] = group;                           // buf_group, personality, file_index
    words[6] = 0;                               // addr3
    words[7] = 0;
}

/// How a frame is transferred, and what an entry's address and length are then.
enum cshims_transfer {
    CSHIMS_TRANSFER_SEND = 0,          // to a socket: the bytes and how many
    CSHIMS_TRANSFER_WRITE = 1,         // to a device: the bytes and how many
    CSHIMS_TRANSFER_SEND_MESSAGE = 2,  // to a socket: a struct msghdr; the length is not looked at
    CSHIMS_TRANSFER_WRITE_VECTOR = 3,  // to a device: two struct iovec; the length is not looked at
};

/// One non-blocking datagram or TAP write that answers only if it fails.
///
/// MSG_DONTWAIT (sockets) and RWF_NOWAIT (TAP) make the transfer finish inside the enter that
/// submits it, in the order of the entries.
static inline void cshims_entry_write_transfer(
    void *entry, const void *address, uint32_t length, uint32_t slot, uint64_t tag,
    uint8_t transfer)
{
    static const uint8_t opcodes[4] = {
        IORING_OP_SEND, IORING_OP_WRITE, IORING_OP_SENDMSG, IORING_OP_WRITEV};
    const uint32_t lengths[4] = {length, length, 1, 2};
    const bool is_write = transfer & 1;
    cshims_entry_write(
        entry, opcodes[transfer & 3], IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS, 0, slot,
        (uint64_t)(uintptr_t)address, lengths[transfer & 3],
        is_write ? RWF_NOWAIT : MSG_DONTWAIT | MSG_NOSIGNAL, tag, 0);
}

/// Multishot RECV into the buffers of a group; MSG_TRUNC makes the result the datagram's real
/// length.
static inline void cshims_entry_write_receive(
    void *entry, uint32_t slot, uint16_t group, uint64_t tag)
{
    cshims_entry_write(
        entry, IORING_OP_RECV, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT, IORING_RECV_MULTISHOT, slot,
        0, 0, MSG_TRUNC, tag, group);
}

/// One-shot poll of a registered file; `events` are poll(2) bits.
static inline void cshims_entry_write_poll(
    void *entry, uint32_t slot, uint32_t events, uint64_t tag)
{
    cshims_entry_write(
        entry, IORING_OP_POLL_ADD, IOSQE_FIXED_FILE, 0, slot, 0, 0, events, tag, 0);
}

/// Multishot POLLIN of a plain descriptor.
static inline void cshims_entry_write_event_poll(void *entry, int descriptor, uint64_t tag)
{
    cshims_entry_write(
        entry, IORING_OP_POLL_ADD, 0, 0, (uint32_t)descriptor, 0, IORING_POLL_ADD_MULTI, POLLIN,
        tag, 0);
}

/// Cancels every request on a registered file; the result is how many there were.
static inline void cshims_entry_write_cancel(void *entry, uint32_t slot, uint64_t tag)
{
    cshims_entry_write(
        entry, IORING_OP_ASYNC_CANCEL, 0, 0, slot, 0, 0,
        IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED, tag, 0);
}
