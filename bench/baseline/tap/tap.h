// What the two ways of copying between TAP devices have in common.

#ifndef CABLE_TAP_H
#define CABLE_TAP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VNET_HEADER_LENGTH = 12, ///< struct virtio_net_hdr_mrg_rxbuf.
    /// Bytes of the longest frame: 65535 and headers, rounded up to pages.
    LONG_FRAME = 68 * 1024,
    SHORT_FRAME = 2048, ///< Room for a frame of an MTU of 1500.
    PAGE = 4096,
};

/// Every frame received is sent or failed.
typedef struct {
    uint64_t received;
    uint64_t sent;
    uint64_t failed; ///< Refused by the other device.
    uint64_t waits;  ///< Times that nothing was left to do.
} counts_t;

/// A cable between two devices.
typedef struct {
    int descriptors[2];
    bool has_header; ///< Frames carry a virtio_net_hdr.
    counts_t counts;
} cable_t;

/// Set by a signal.
extern volatile sig_atomic_t cable_is_stopped;

/// Ends the program with what failed and -errno's text.
_Noreturn static inline void cable_fail(const char *what, int error) {
    fprintf(stderr, "cable-tap: %s: %s\n", what, strerror(error));
    exit(1);
}

/// Copies by read and write until a signal comes.
void plain_run(cable_t *cable);

/// Copies by io_uring until a signal comes.
void uring_run(cable_t *cable);

#endif
