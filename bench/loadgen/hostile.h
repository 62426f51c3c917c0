// Datagrams that no decent VM sends.

#ifndef LOADGEN_HOSTILE_H
#define LOADGEN_HOSTILE_H

#include "plan.h"

#include <stddef.h>
#include <stdint.h>

/// A datagram in two pieces: a head that was written for it, and a tail out of the pattern.
typedef struct {
    size_t head_length;
    const uint8_t *tail;
    size_t tail_length;
} hostile_t;

/// Writes the next datagram of a hostile flow.
/// - Parameter random: state of the flow's random numbers, not 0.
/// - Parameter head: FRAME_HEAD_LENGTH bytes.
hostile_t hostile_write(const flow_t *flow, const mac_t *source, uint64_t *random, uint8_t *head);

#endif
