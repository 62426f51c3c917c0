// Batches of frames between a TAP device and a datagram socket.

#define _GNU_SOURCE
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct cshims_frames {
    uint32_t limit;     // frames
    uint32_t capacity;  // bytes of a frame
    uint32_t header;    // bytes before a frame, which the device alone sees
    uint32_t count;     // frames now in the batch
    uint8_t *memory;    // limit x stride: headroom, header, frame
    struct mmsghdr *messages;
    struct iovec *vectors;  // of the messages, one each
};

// Frames start two bytes into a cache line, which aligns the IP header, with the device's header in
// the line before; the stride is an odd number of lines, so that frames do not compete for the same
// sets of the L1 cache.
enum { ALIGNMENT = 64, MISALIGNMENT = 2 };

int cshims_frames_create(
    uint32_t count, uint32_t capacity, uint32_t header, struct cshims_frames **result) {
    const size_t headroom = MISALIGNMENT + (header + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    const size_t lines = (headroom + capacity + ALIGNMENT - 1) / ALIGNMENT;
    const size_t stride = (lines | 1) * ALIGNMENT;
    struct cshims_frames *frames = calloc(1, sizeof *frames);
    if (frames == NULL) return -ENOMEM;
    frames->limit = count;
    frames->capacity = capacity;
    frames->header = header;
    frames->memory = aligned_alloc(ALIGNMENT, stride * count);
    frames->messages = calloc(count, sizeof *frames->messages);
    frames->vectors = calloc(count, sizeof *frames->vectors);
    if (!frames->memory || !frames->messages || !frames->vectors) {
        cshims_frames_destroy(frames);
        return -ENOMEM;
    }
    // The pages are there before the first frame, and the headers of frames to write are zero.
    memset(frames->memory, 0, stride * count);
    for (uint32_t index = 0; index < count; index++) {
        frames->vectors[index].iov_base = frames->memory + index * stride + headroom;
        frames->vectors[index].iov_len = capacity;
        frames->messages[index].msg_hdr.msg_iov = &frames->vectors[index];
        frames->messages[index].msg_hdr.msg_iovlen = 1;
    }
    *result = frames;
    return 0;
}

void cshims_frames_destroy(struct cshims_frames *frames) {
    if (frames == NULL) return;
    free(frames->memory);
    free(frames->messages);
    free(frames->vectors);
    free(frames);
}

int cshims_frames_read_device(struct cshims_frames *frames, int device) {
    const uint32_t header = frames->header;
    uint32_t count = 0;
    while (count < frames->limit) {
        struct iovec *vector = &frames->vectors[count];
        uint8_t *start = (uint8_t *)vector->iov_base - header;
        ssize_t length = read(device, start, frames->capacity + header);
        if (length < 0) {
            if (errno == EAGAIN) break;
            if (errno == EINTR) continue;
            if (count == 0) return -errno;
            break;  // the next call meets the error again
        }
        if (length < (ssize_t)header) continue;  // nothing that could be sent
        vector->iov_len = (size_t)length - header;
        count++;
    }
    frames->count = count;
    return (int)count;
}

int cshims_frames_send(struct cshims_frames *frames, int socket, uint32_t start, uint64_t *bytes) {
    int sent = sendmmsg(
        socket, frames->messages + start, frames->count - start, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return -errno;
    for (int index = 0; index < sent; index++) {
        *bytes += frames->vectors[start + (uint32_t)index].iov_len;
    }
    return sent;
}

int cshims_frames_receive(struct cshims_frames *frames, int socket) {
    // MSG_TRUNC: the length is the datagram's own, so that a frame cut off is told from a whole
    // one.
    int count = recvmmsg(socket, frames->messages, frames->limit, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (count < 0) {
        const int error = errno;
        frames->count = 0;
        return error == EAGAIN || error == EINTR ? 0 : -error;
    }
    frames->count = (uint32_t)count;
    return count;
}

int cshims_frames_write_device(
    struct cshims_frames *frames, int device, struct cshims_frames_outcome *outcome) {
    const uint32_t header = frames->header;
    *outcome = (struct cshims_frames_outcome){0};
    for (uint32_t index = 0; index < frames->count; index++) {
        const uint32_t length = frames->messages[index].msg_len;
        if (length > frames->capacity) {
            outcome->oversize++;
            continue;
        }
        ssize_t written;
        do {
            written = write(
                device, (uint8_t *)frames->vectors[index].iov_base - header, length + header);
        } while (written < 0 && errno == EINTR);
        if (written >= 0) {
            outcome->frames++;
            outcome->bytes += length;
        } else if (errno == EBADFD) {
            return -errno;
        } else {
            outcome->refused++;
        }
    }
    return 0;
}
