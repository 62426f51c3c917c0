// Counts the allocations of every thread of the test program, by taking the place of malloc.
//
// Linking this target is enough. Under a sanitizer, which needs malloc for itself, nothing is counted.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Whether allocations are counted in this build.
bool allocation_counter_works(void);

/// How often the thread with this kernel id (gettid) has asked for memory since it began; -1 for a
/// thread that never did.
int64_t allocation_counter_count(int32_t thread);
