// Reading and writing frames in a stream.
#define _GNU_SOURCE
#include "stream.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STREAM_CAPACITY = 256 << 10,
    RETRY_INTERVAL = 2 * NANOSECONDS_PER_MILLISECOND,
    PATIENCE = 50, ///< Milliseconds.
};

int stream_join(const char *port_path, uint64_t deadline) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(port_path) >= sizeof address.sun_path) return -ENAMETOOLONG;
    strcpy(address.sun_path, port_path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    while (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        int result = -errno;
        if ((result != -ENOENT && result != -ECONNREFUSED) || clock_now() >= deadline) {
            close(descriptor);
            return result;
        }
        clock_sleep_until(clock_now() + RETRY_INTERVAL);
    }
    return descriptor;
}

void stream_write_prefix(uint8_t *prefix, uint32_t length) {
    uint32_t value = htonl(length);
    memcpy(prefix, &value, sizeof value);
}

void stream_finish(int descriptor, const struct msghdr *message, size_t sent) {
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const uint8_t *bytes = message->msg_iov[i].iov_base;
        size_t length = message->msg_iov[i].iov_len;
        size_t done = sent < length ? sent : length;
        sent -= done;
        while (done < length) {
            ssize_t count = send(descriptor, bytes + done, length - done, MSG_NOSIGNAL);
            if (count >= 0) {
                done += (size_t)count;
            } else if (errno == EAGAIN) {
                struct pollfd writable = {.fd = descriptor, .events = POLLOUT};
                poll(&writable, 1, PATIENCE);
            } else if (errno != EINTR) {
                return; // The next message meets the error again.
            }
        }
    }
}

size_t stream_fill(stream_t *stream, int descriptor) {
    if (stream->bytes == NULL) stream->bytes = malloc(STREAM_CAPACITY);
    if (stream->bytes == NULL) abort();
    size_t rest = stream->end - stream->start;
    memmove(stream->bytes, stream->bytes + stream->start, rest);
    stream->start = 0;
    stream->end = rest;
    ssize_t count = recv(descriptor, stream->bytes + rest, STREAM_CAPACITY - rest, MSG_DONTWAIT);
    if (count <= 0) return 0;
    stream->end += (size_t)count;
    return (size_t)count;
}

const uint8_t *stream_next(stream_t *stream, size_t *length) {
    size_t rest = stream->end - stream->start;
    if (rest < STREAM_PREFIX_LENGTH) return NULL;
    uint32_t value;
    memcpy(&value, stream->bytes + stream->start, sizeof value);
    *length = ntohl(value);
    if (rest - STREAM_PREFIX_LENGTH < *length) return NULL;
    const uint8_t *frame = stream->bytes + stream->start + STREAM_PREFIX_LENGTH;
    stream->start += STREAM_PREFIX_LENGTH + *length;
    return frame;
}
