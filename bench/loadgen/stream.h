// Frames in a stream, each behind its length (u32, big-endian), as QEMU and libkrun write them: one
// frame a call, all that has come in one read.

#ifndef LOADGEN_STREAM_H
#define LOADGEN_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { STREAM_PREFIX_LENGTH = 4 };

/// What a reader has of one stream.
typedef struct {
    uint8_t *bytes;
    size_t start; ///< Bytes `start ..< end` have not been taken.
    size_t end;
} stream_t;

/// Opens a stream to the path of a port, waiting for it until `deadline`.
/// - Returns: the descriptor, or -errno of the last attempt.
int stream_join(const char *port_path, uint64_t deadline);

/// Writes a length.
void stream_write_prefix(uint8_t *prefix, uint32_t length);

/// Sends what is left of a message of which `sent` bytes are sent, waiting for room.
void stream_finish(int descriptor, const struct msghdr *message, size_t sent);

/// Reads what has come.
/// - Returns: the bytes read, 0 if there are none.
size_t stream_fill(stream_t *stream, int descriptor);

/// Takes the next whole frame.
/// - Returns: its first byte, or NULL.
const uint8_t *stream_next(stream_t *stream, size_t *length);

#endif
