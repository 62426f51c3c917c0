// Sequence numbers of a flow: what was lost, came twice, or came late.
#include "sequence.h"

#include <stdbool.h>
#include <string.h>

static uint64_t *word(sequence_t *sequence, uint64_t number) {
    return &sequence->seen[number % SEQUENCE_WINDOW / 64];
}

static uint64_t bit(uint64_t number) {
    return 1ull << (number % 64);
}

/// Forgets what the numbers from `next` up to `number` overwrite in the window.
static void advance(sequence_t *sequence, uint64_t number) {
    if (number - sequence->next >= SEQUENCE_WINDOW) {
        memset(sequence->seen, 0, sizeof sequence->seen);
    } else {
        for (uint64_t skipped = sequence->next; skipped <= number; skipped++) {
            *word(sequence, skipped) &= ~bit(skipped);
        }
    }
    sequence->next = number + 1;
}

/// Whether a frame of the same address, with a higher number, came before a late one.
static bool has_successor(sequence_t *sequence, uint64_t number, uint32_t stride) {
    for (uint64_t later = number + stride; later < sequence->next; later += stride) {
        if (*word(sequence, later) & bit(later)) return true;
    }
    return false;
}

void sequence_note(sequence_t *sequence, uint64_t number, uint32_t stride) {
    if (number >= sequence->next) {
        advance(sequence, number);
    } else if (sequence->next - number > SEQUENCE_WINDOW) {
        sequence->reordered++;
        sequence->older++;
        sequence->distinct++;
        return;
    } else if (*word(sequence, number) & bit(number)) {
        sequence->duplicates++;
        return;
    } else if (has_successor(sequence, number, stride)) {
        sequence->reordered++;
    } else {
        sequence->overtaken++;
    }
    *word(sequence, number) |= bit(number);
    sequence->distinct++;
}
