// The measured frame: what a sender writes and a receiver believes.
//
//   offset  bytes  field
//        0      6  destination MAC
//        6      6  source MAC
//       12      2  EtherType 0x88B5 (IEEE 802 local experimental), network order
//       14      1  frame sort (sort_t)
//       15      1  how to check the body (check_t)
//       16      8  sequence number within the flow, from 0
//       24      8  CLOCK_MONOTONIC nanoseconds of the first attempt to send
//       32      4  length of the whole frame
//       36      2  flow identifier
//       38      2  header check over the bytes 14 ..< 38
//       40      -  body: a run of the pattern, beginning at a place drawn from flow and sequence
//
// Fields behind the EtherType are in the machine's own order: no frame leaves the machine.
//
// The body is not generated frame by frame: one pattern of pseudo-random bytes serves every frame,
// and where in it a body begins depends on flow and sequence number. So bodies differ, a piece of
// another frame is noticed, and a sender copies nothing: the longer part of a frame is sent out of
// the pattern itself.

#ifndef LOADGEN_FRAME_H
#define LOADGEN_FRAME_H

#include "plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER_LENGTH = 40, ///< Shortest measured frame.
    FRAME_HEAD_LENGTH = 256,  ///< Bytes that are written for each frame; the rest is pattern.
    FRAME_ETHERTYPE = 0x88B5,
};

typedef enum {
    SORT_MEASURED = 0xA5,
    SORT_ANNOUNCEMENT = 0xA6, ///< Broadcast that teaches the switch where its source lives.
    SORT_EXTRA = 0xA7,        ///< The same for an additional source address.
} sort_t;

/// What a frame says of itself.
typedef struct {
    sort_t sort;
    check_t check;
    uint16_t flow;
    uint32_t length;
    uint64_t sequence;
    uint64_t stamp;
} frame_fields_t;

/// Fills the pattern. Must be called once, before any thread and any frame exists.
void frame_prepare(void);

/// FRAME_LENGTH_MAX bytes of the pattern, for whoever needs bytes that mean nothing.
const uint8_t *frame_pattern(void);

/// Writes the first `min(length, FRAME_HEAD_LENGTH)` bytes of a frame to `head`.
/// - Returns: where in the pattern the bytes behind the head stand.
const uint8_t *frame_write(
    uint8_t *head, const mac_t *destination, const mac_t *source, const frame_fields_t *fields);

/// Reads the header of a datagram.
/// - Returns: false if the bytes are no frame of a load generator.
bool frame_read(const uint8_t *bytes, size_t length, frame_fields_t *fields);

/// Says whether a frame's length and body are those that its header promises.
bool frame_is_intact(const uint8_t *bytes, size_t length, const frame_fields_t *fields);

#endif
