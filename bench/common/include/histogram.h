// Delays: a histogram with buckets of equal relative width, so that memory and error are bounded.
//
// Each power of two is split into 32 buckets: a percentile is at most 3.2 % above the true value.

#ifndef MEASURING_HISTOGRAM_H
#define MEASURING_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SPLIT_BITS = 5,
    HISTOGRAM_SPLIT = 1 << HISTOGRAM_SPLIT_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SPLIT_BITS + 1) * HISTOGRAM_SPLIT,
};

typedef struct {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
} histogram_t;

/// The bucket of a value: values below 32 have one each, then 32 buckets an octave.
static inline unsigned histogram_bucket(uint64_t value) {
    if (value < HISTOGRAM_SPLIT) return (unsigned)value;
    unsigned octave = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SPLIT_BITS;
    return (octave << HISTOGRAM_SPLIT_BITS) + (unsigned)(value >> octave);
}

static inline void histogram_add(histogram_t *histogram, uint64_t value) {
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[histogram_bucket(value)]++;
}

/// The value below or at which `fraction` of all values lie, rounded up to the end of its bucket.
uint64_t histogram_percentile(const histogram_t *histogram, double fraction);

#endif
