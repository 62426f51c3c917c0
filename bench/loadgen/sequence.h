// Sequence numbers of one flow at one receiver: what was lost, late or doubled.
//
// A frame is *reordered* when a frame with a higher number came before it (RFC 4737,
// Type-P-Reordered), and a *duplicate* when its own number came before. A bit for each of the last
// `SEQUENCE_WINDOW` numbers tells the two apart; frames older than that count as reordered and as
// `older`, because nothing is known of them.

#ifndef LOADGEN_SEQUENCE_H
#define LOADGEN_SEQUENCE_H

#include <stdint.h>

enum { SEQUENCE_WINDOW = 1 << 18 }; ///< Numbers remembered, 32 KiB of bits.

typedef struct {
    uint64_t next;     ///< One above the highest number seen.
    uint64_t distinct; ///< Frames that were no duplicates.
    uint64_t reordered;
    uint64_t duplicates;
    uint64_t older; ///< Reordered by more than the window.
    uint64_t seen[SEQUENCE_WINDOW / 64];
} sequence_t;

/// Takes note of a frame's number. `sequence` starts as zeroes.
void sequence_note(sequence_t *sequence, uint64_t number);

#endif
