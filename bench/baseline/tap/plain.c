// Copying by read and write: two system calls a frame.
//
// One thread, one buffer. A TAP takes and gives one frame a call, and a buffer that is used for
// every frame never leaves the cache. The sides take turns of TURN_MAX frames; epoll is asked only
// after both of them had nothing left. Reading a batch before writing it was tried with 8, 16 and
// 64 frames, and costs the same.

#include "tap.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    TURN_MAX = 64,       ///< Frames of one side before the other has its turn.
    STOP_PATIENCE = 100, ///< Milliseconds after which an idle cable looks for a signal.
};

/// Passes on up to TURN_MAX frames of a side.
/// - Returns: whether there may be more.
static bool carry(cable_t *cable, int side, void *buffer) {
    counts_t *counts = &cable->counts;
    for (int i = 0; i < TURN_MAX; i++) {
        ssize_t length = read(cable->descriptors[side], buffer, LONG_FRAME);
        if (length < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) cable_fail("reading a device", errno);
            return false;
        }
        counts->received++;
        if (write(cable->descriptors[side ^ 1], buffer, (size_t)length) < 0) {
            counts->failed++;
        } else {
            counts->sent++;
        }
    }
    return true;
}

void plain_run(cable_t *cable) {
    void *buffer = aligned_alloc(PAGE, LONG_FRAME);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (buffer == NULL || epoll < 0) cable_fail("starting", errno);
    memset(buffer, 0, LONG_FRAME);
    for (uint32_t i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, cable->descriptors[i], &event) != 0) {
            cable_fail("epoll", errno);
        }
    }
    bool has_more[2] = {false, false};
    while (!cable_is_stopped) {
        if (!has_more[0] && !has_more[1]) {
            struct epoll_event events[2];
            int count = epoll_wait(epoll, events, 2, STOP_PATIENCE);
            cable->counts.waits++;
            for (int i = 0; i < count; i++) has_more[events[i].data.u32] = true;
        }
        for (int i = 0; i < 2; i++) {
            if (has_more[i]) has_more[i] = carry(cable, i, buffer);
        }
    }
    close(epoll);
    free(buffer);
}
