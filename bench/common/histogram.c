#include "histogram.h"

/// The highest value of a bucket.
static uint64_t bucket_end(unsigned bucket) {
    if (bucket < HISTOGRAM_SPLIT) return bucket;
    unsigned octave = (bucket >> HISTOGRAM_SPLIT_BITS) - 1;
    uint64_t start = (uint64_t)(bucket - (octave << HISTOGRAM_SPLIT_BITS)) << octave;
    return start + ((1ull << octave) - 1);
}

uint64_t histogram_percentile(const histogram_t *histogram, double fraction) {
    if (histogram->count == 0) return 0;
    uint64_t wanted = (uint64_t)((double)histogram->count * fraction + 0.5);
    if (wanted == 0) wanted = 1;
    uint64_t below = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        below += histogram->buckets[bucket];
        if (below >= wanted) {
            uint64_t end = bucket_end(bucket);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}
