// The measured frame: what a sender writes and a receiver believes.
//
//   offset  bytes  field
//        0      6  destination MAC
//        6      6  source MAC
//       12      2  EtherType 0x88B5 (IEEE 802 local experimental), network order
//       14     26  record
//       40      -  body: a run of the pattern, beginning at a place drawn from flow and sequence
//
// Or, where the flow's shape is TCP: a segment such as a guest's TCP sends, which a switch may have
// to finish or to cut up.
//
//       12      2  EtherType 0x0800
//       14     20  IPv4 without options: 10 and the last three bytes of each MAC, do not fragment
//       34     20  TCP without options: ACK and PSH; the sequence number is that of the record's
//                  frame times the payload's length; to port 0x88B5
//       54     26  record, the first bytes of the payload
//       80      -  body
//
// The checksum of a `SHAPE_TCP_PARTIAL` is the pseudo-header's sum alone, as guests with checksum
// offloading leave it. Whoever cuts such a frame up makes *segments* of it, of which only the first
// has a record; receivers count them and the bytes of their payload.
//
// The record; its fields are in the machine's own order: no frame leaves the machine.
//
//        0      1  frame sort (sort_t)
//        1      1  how to check the body (check_t)
//        2      8  sequence number within the flow, from 0
//       10      8  CLOCK_MONOTONIC nanoseconds of the first attempt to send
//       18      4  length of the whole frame
//       22      2  flow identifier
//       24      2  check over the bytes 0 ..< 24
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
    FRAME_TCP_HEADER_LENGTH = 80, ///< Shortest frame of the shape TCP.
    FRAME_TCP_LENGTH_MAX = 65549, ///< Longest: IPv4 counts to 65535.
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
    shape_t shape; ///< Of a frame that was read: SHAPE_TCP for both sorts of TCP.
    uint16_t flow;
    uint32_t length;
    uint64_t sequence;
    uint64_t stamp;
} frame_fields_t;

/// What a datagram turns out to be.
typedef enum {
    FOUND_ALIEN,   ///< No load generator wrote it.
    FOUND_FRAME,   ///< A frame, with its fields.
    FOUND_SEGMENT, ///< A piece of a TCP-shaped frame; `length` says how many bytes of payload.
} found_t;

/// Fills the pattern. Must be called once, before any thread and any frame exists.
void frame_prepare(void);

/// FRAME_LENGTH_MAX bytes of the pattern, for whoever needs bytes that mean nothing.
const uint8_t *frame_pattern(void);

/// Writes the first `min(length, FRAME_HEAD_LENGTH)` bytes of a frame to `head`.
/// - Returns: where in the pattern the bytes behind the head stand.
const uint8_t *frame_write(
    uint8_t *head, const mac_t *destination, const mac_t *source, const frame_fields_t *fields);

/// Reads the headers of a datagram.
found_t frame_read(const uint8_t *bytes, size_t length, frame_fields_t *fields);

/// Says whether a frame's length and body are those that its record promises; with CHECK_FULL also
/// whether its TCP checksum is complete and right.
bool frame_is_intact(const uint8_t *bytes, size_t length, const frame_fields_t *fields);

#endif
