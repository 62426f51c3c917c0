// What the two cables have in common: their options, the switch's side of the unixgram protocol,
// and the counts that they print.
//
// A cable joins sockets in pairs: what comes in at one is sent at the other. It parses nothing,
// learns nothing and queues nothing, so it is what a switch cannot beat: the price of the sockets
// alone.
//
// Each path is a listening datagram socket. The first datagram at a path names the peer; the cable
// connects its socket back to it, which lifts the receiver's limit of max_dgram_qlen + 1 frames.
// Datagrams that came before both ends of a pair were joined are thrown away. "VFKT", the greeting
// of vfkit and libkrun, may come again at any time and is never passed on.

#ifndef CABLE_H
#define CABLE_H

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    SIDE_LIMIT = 64,
    MAGIC_LENGTH = 4,
    CACHE_LINE = 64,
};

/// One end of a cable. The other end of side i is side i ^ 1.
typedef struct {
    const char *path;
    int descriptor;
    bool is_joined;
} side_t;

/// What a cable counts. Every frame received is sent, dropped, failed or cut.
typedef struct {
    uint64_t received;
    uint64_t sent;
    uint64_t dropped;    ///< Refused with EAGAIN: the egress socket is full.
    uint64_t failed;     ///< Refused for another reason.
    uint64_t cut;        ///< Longer than a buffer.
    uint64_t handshakes; ///< Greetings.
    uint64_t calls;      ///< System calls of the loop.
    uint64_t exhausted;  ///< Times that a receive found no buffer.
} counts_t;

typedef struct {
    side_t sides[SIDE_LIMIT];
    int side_count;
    unsigned buffers;     ///< Receive buffers of each side, a power of two.
    unsigned buffer_size; ///< Bytes.
    int send_buffer;      ///< Bytes asked for with SO_SNDBUF; 0: the system's default.
    counts_t counts;
} cable_t;

static volatile sig_atomic_t cable_is_stopped;

static inline void cable_stop(int signal_number) {
    (void)signal_number;
    cable_is_stopped = 1;
}

_Noreturn static inline void cable_fail(const char *what, int error) {
    fprintf(stderr, "cable: %s: %s\n", what, strerror(error));
    exit(1);
}

/// Reads the options, or ends the program with exit code 2.
static inline void cable_read_options(cable_t *cable, int argc, char **argv) {
    static const struct option options[] = {
        {"buffers", required_argument, NULL, 'b'},
        {"buffer-size", required_argument, NULL, 's'},
        {"send-buffer", required_argument, NULL, 'q'},
        {NULL, 0, NULL, 0},
    };
    *cable = (cable_t){.buffers = 64, .buffer_size = 2048, .send_buffer = 4 << 20};
    int option;
    bool is_good = true;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned value = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'b': cable->buffers = value; break;
        case 's': cable->buffer_size = value; break;
        case 'q': cable->send_buffer = (int)value; break;
        default: is_good = false;
        }
    }
    unsigned buffers = cable->buffers;
    is_good &= buffers > 0 && buffers <= 32768 && (buffers & (buffers - 1)) == 0;
    is_good &= cable->buffer_size >= 64;
    cable->side_count = argc - optind;
    is_good &=
        cable->side_count >= 2 && cable->side_count % 2 == 0 && cable->side_count <= SIDE_LIMIT;
    if (!is_good) {
        fprintf(
            stderr,
            "usage: %s [--buffers POWER-OF-TWO] [--buffer-size BYTES] [--send-buffer BYTES] "
            "PATH PATH [PATH PATH ...]\n",
            argv[0]);
        exit(2);
    }
    for (int i = 0; i < cable->side_count; i++) cable->sides[i].path = argv[optind + i];
}

static inline void cable_listen(cable_t *cable) {
    for (int i = 0; i < cable->side_count; i++) {
        side_t *side = &cable->sides[i];
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(side->path) >= sizeof address.sun_path) cable_fail(side->path, ENAMETOOLONG);
        strcpy(address.sun_path, side->path);
        side->descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (side->descriptor < 0) cable_fail("socket", errno);
        int size = cable->send_buffer;
        if (size > 0) setsockopt(side->descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        unlink(side->path);
        if (bind(side->descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
            cable_fail(side->path, errno);
        }
    }
}

/// Takes the first datagram of a side and connects back to its sender.
static inline void cable_join_side(cable_t *cable, side_t *side) {
    char byte[MAGIC_LENGTH];
    struct sockaddr_un peer;
    socklen_t length = sizeof peer;
    ssize_t received = recvfrom(
        side->descriptor, byte, sizeof byte, MSG_DONTWAIT, (struct sockaddr *)&peer, &length);
    if (received < 0 || length <= sizeof peer.sun_family) return;
    if (connect(side->descriptor, (struct sockaddr *)&peer, length) != 0) {
        cable_fail("connecting back", errno);
    }
    side->is_joined = true;
    if (received == MAGIC_LENGTH) cable->counts.handshakes++;
}

/// Waits for a peer at every side.
/// - Returns: false if a signal came first.
static inline bool cable_join(cable_t *cable) {
    int joined = 0;
    while (joined < cable->side_count) {
        struct pollfd sockets[SIDE_LIMIT];
        for (int i = 0; i < cable->side_count; i++) {
            // A negative descriptor is passed over: the side has its peer.
            side_t *side = &cable->sides[i];
            sockets[i] = (struct pollfd){side->is_joined ? -1 : side->descriptor, POLLIN, 0};
        }
        if (poll(sockets, (nfds_t)cable->side_count, 100) < 0 && errno != EINTR) {
            cable_fail("poll", errno);
        }
        if (cable_is_stopped) return false;
        joined = 0;
        for (int i = 0; i < cable->side_count; i++) {
            if (!cable->sides[i].is_joined) cable_join_side(cable, &cable->sides[i]);
            joined += cable->sides[i].is_joined;
        }
    }
    return true;
}

static inline bool cable_is_magic(const void *bytes, size_t length) {
    return length == MAGIC_LENGTH && memcmp(bytes, "VFKT", MAGIC_LENGTH) == 0;
}

/// Bytes from one buffer to the next: one cache line more than needed, because buffers a multiple
/// of the page size apart meet in the same sets of the first-level cache.
static inline size_t cable_stride(const cable_t *cable) {
    return ((size_t)cable->buffer_size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE + CACHE_LINE;
}

static inline void cable_finish(const cable_t *cable) {
    const counts_t *counts = &cable->counts;
    for (int i = 0; i < cable->side_count; i++) unlink(cable->sides[i].path);
    printf(
        "{\"received\": %llu, \"sent\": %llu, \"dropped\": %llu, \"failed\": %llu, \"cut\": %llu, "
        "\"handshakes\": %llu, \"calls\": %llu, \"exhausted\": %llu}\n",
        (unsigned long long)counts->received, (unsigned long long)counts->sent,
        (unsigned long long)counts->dropped, (unsigned long long)counts->failed,
        (unsigned long long)counts->cut, (unsigned long long)counts->handshakes,
        (unsigned long long)counts->calls, (unsigned long long)counts->exhausted);
}

#endif
