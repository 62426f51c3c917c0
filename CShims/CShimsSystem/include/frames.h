// A batch of frames in memory, laid out so that recvmmsg(2) and sendmmsg(2) take it as it stands.
//
// One batch belongs to one direction and one thread: it is filled from one side, then emptied to
// the other. All memory is taken at creation.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cshims_frames;  // opaque

/// What became of frames that were written to a device.
struct cshims_frames_outcome {
    uint32_t frames;     // accepted
    uint64_t bytes;      // of the accepted frames
    uint32_t oversize;   // longer than the batch's capacity; never written
    uint32_t refused;    // refused by the device: it is down, or the frame is no frame
};

/// Makes a batch of at most `count` frames of at most `capacity` bytes. The device has a virtio
/// header of `header` bytes before each frame (0: none), the socket has none: what is read with a
/// frame is left behind, what is written before one is zero. -ENOMEM.
int cshims_frames_create(
    uint32_t count, uint32_t capacity, uint32_t header, struct cshims_frames **frames);

/// Releases the batch.
void cshims_frames_destroy(struct cshims_frames *frames);

/// Fills the batch from a TAP device until it is full or the device has no more; returns how many
/// frames there are. -EBADFD: the device has been deleted.
int cshims_frames_read_device(struct cshims_frames *frames, int device);

/// Sends the frames from index `start` on, in order, and stops at the first refusal. Returns how
/// many were sent, adding their length to `bytes`, or the -errno of the first one.
int cshims_frames_send(struct cshims_frames *frames, int socket, uint32_t start, uint64_t *bytes);

/// Fills the batch from a datagram socket; returns how many frames there are, 0 if none is waiting.
int cshims_frames_receive(struct cshims_frames *frames, int socket);

/// Writes the whole batch to a TAP device. -EBADFD: the device has been deleted.
int cshims_frames_write_device(
    struct cshims_frames *frames, int device, struct cshims_frames_outcome *outcome);
