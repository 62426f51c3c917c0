// The answering end.

#ifndef PINGPONG_ANSWER_H
#define PINGPONG_ANSWER_H

#include "way.h"

#include <stdatomic.h>

/// Answers every question at once, until `stop` is set.
/// - Returns: how many the kernel took answers to.
uint64_t answer_run(way_t *way, const atomic_bool *stop);

#endif
