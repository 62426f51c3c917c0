// Sequence numbers of one flow at one receiver: what was lost, late or doubled.
//
// A frame is *reordered* when a frame with a higher number came before it (RFC 4737,
// Type-P-Reordered), and a *duplicate* when its own number came before. A bit for each of the last
// `SEQUENCE_WINDOW` numbers tells the two apart; frames older than that count as reordered and as
// `older`, because nothing is known of them.
//
// A flow that goes to many addresses in turn is as many flows to a switch, which may serve them in
// any turns. Numbers a `stride` apart are of the same address, and only among these is a late frame
// reordered; it is *overtaken* when frames of other addresses alone came before it.

#ifndef LOADGEN_SEQUENCE_H
#define LOADGEN_SEQUENCE_H

#include <stdint.h>

enum { SEQUENCE_WINDOW = 1 << 18 }; ///< Numbers remembered, 32 KiB of bits.

typedef struct {
    uint64_t next;     ///< One above the highest number seen.
    uint64_t distinct; ///< Frames that were no duplicates.
    uint64_t reordered;
    uint64_t overtaken;
    uint64_t duplicates;
    uint64_t older; ///< Reordered by more than the window.
    uint64_t seen[SEQUENCE_WINDOW / 64];
} sequence_t;

/// Takes note of a frame's number. `sequence` starts as zeroes; `stride` is 1 for a flow to one
/// address.
void sequence_note(sequence_t *sequence, uint64_t number, uint32_t stride);

#endif
