// Answering is all that this end does: it knows neither rates nor times.
#include "answer.h"

#include "clock.h"

enum { STOP_PATIENCE = 50 * NANOSECONDS_PER_MILLISECOND }; ///< Between looks at the stop flag.

uint64_t answer_run(way_t *way, const atomic_bool *stop) {
    uint64_t answered = 0;
    message_t question;
    way_set_patience(way, STOP_PATIENCE);
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        ssize_t size = way_receive(way, &question, 0);
        if (size >= 0 && way_answer(way, &question, (uint32_t)size)) answered++;
    }
    return answered;
}
