// cable-tap: frames from one TAP device to the other by read and write.
//
//   cable-tap [--vnet] NETNS:DEVICE NETNS:DEVICE
//
// The devices are made in two named network namespaces and go with the process; whoever started it
// configures them and brings them up after the line {"ready": true}. As cable.h says of its
// sisters: no address is looked at, nothing is learned, nothing is queued.
//
// With --vnet every frame carries the kernel's virtio_net_hdr of 12 bytes, and the kernel may hand
// out frames of 64 KiB with partial checksums. What one TAP says of a frame is what the other wants
// to hear, so header and frame are passed on as they are: the way TCP costs least.
//
// One thread, one buffer. A TAP takes and gives one frame a call, and a buffer that is used for
// every frame never leaves the cache. The sides take turns of TURN_MAX frames; epoll is asked only
// after both of them had nothing left. Writing to a TAP never waits: the kernel hands the frame to
// the host's stack inside the call, or drops it there, which the device counts.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    TURN_MAX = 64,             ///< Frames of one side before the other has its turn.
    VNET_HEADER_LENGTH = 12,   ///< struct virtio_net_hdr_mrg_rxbuf.
    BUFFER_LENGTH = 68 * 1024, ///< Longest frame of a TAP, 65535 bytes and headers, rounded up.
    STOP_PATIENCE = 100,       ///< Milliseconds after which an idle cable looks for a signal.
    PAGE = 4096,
};

typedef struct {
    int descriptor;
    bool may_have_more; ///< The last read did not say EAGAIN.
} side_t;

typedef struct {
    uint64_t received;
    uint64_t sent;
    uint64_t sent_bytes; ///< Without virtio headers.
    uint64_t failed;     ///< Refused by the other device.
    uint64_t waits;      ///< Calls of epoll_wait.
} counts_t;

typedef struct {
    side_t sides[2];
    bool has_header;
    int epoll;
    uint8_t *buffer;
    counts_t counts;
} cable_t;

static volatile sig_atomic_t is_stopped;

static void stop(int signal_number) {
    (void)signal_number;
    is_stopped = 1;
}

_Noreturn static void fail(const char *what) {
    fprintf(stderr, "cable-tap: %s: %s\n", what, strerror(errno));
    exit(1);
}

_Noreturn static void refuse(void) {
    fputs("usage: cable-tap [--vnet] NETNS:DEVICE NETNS:DEVICE\n", stderr);
    exit(2);
}

/// Moves the process into the network namespace of `place`.
/// - Returns: the name of the device.
static const char *enter(const char *place) {
    const char *colon = strchr(place, ':');
    if (colon == NULL || colon == place || strlen(colon + 1) >= IFNAMSIZ || colon[1] == '\0') {
        refuse();
    }
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%.*s", (int)(colon - place), place);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0) fail(path);
    close(namespace);
    return colon + 1;
}

/// Makes the device; its descriptor belongs to its namespace for good.
static int open_device(const char *place, bool has_header) {
    const char *name = enter(place);
    int descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) fail("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (has_header) request.ifr_flags |= IFF_VNET_HDR;
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(descriptor, TUNSETIFF, &request) != 0) fail(place);
    if (!has_header) return descriptor;
    int length = VNET_HEADER_LENGTH;
    if (ioctl(descriptor, TUNSETVNETHDRSZ, &length) != 0) fail("length of the virtio header");
    unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(descriptor, TUNSETOFFLOAD, offloads) != 0) fail("offloads");
    return descriptor;
}

static void prepare(cable_t *cable, char **places) {
    cable->buffer = aligned_alloc(PAGE, BUFFER_LENGTH);
    cable->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (cable->buffer == NULL || cable->epoll < 0) fail("starting");
    memset(cable->buffer, 0, BUFFER_LENGTH);
    for (uint32_t i = 0; i < 2; i++) {
        cable->sides[i].descriptor = open_device(places[i], cable->has_header);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(cable->epoll, EPOLL_CTL_ADD, cable->sides[i].descriptor, &event) != 0) {
            fail("epoll");
        }
    }
}

/// Passes on up to TURN_MAX frames of a side.
static void carry(cable_t *cable, int index) {
    side_t *side = &cable->sides[index];
    int egress = cable->sides[index ^ 1].descriptor;
    size_t overhead = cable->has_header ? VNET_HEADER_LENGTH : 0;
    counts_t *counts = &cable->counts;
    for (int i = 0; i < TURN_MAX; i++) {
        ssize_t length = read(side->descriptor, cable->buffer, BUFFER_LENGTH);
        if (length < 0) {
            if (errno == EINTR) continue;
            // EBADFD: the device is still down, or was removed.
            if (errno != EAGAIN && errno != EBADFD) fail("reading a device");
            side->may_have_more = false;
            return;
        }
        counts->received++;
        if (write(egress, cable->buffer, (size_t)length) < 0) {
            counts->failed++;
        } else {
            counts->sent++;
            counts->sent_bytes += (uint64_t)length - overhead;
        }
    }
}

static void await(cable_t *cable) {
    struct epoll_event events[2];
    int count = epoll_wait(cable->epoll, events, 2, STOP_PATIENCE);
    cable->counts.waits++;
    for (int i = 0; i < count; i++) cable->sides[events[i].data.u32].may_have_more = true;
}

static void run(cable_t *cable) {
    while (!is_stopped) {
        if (!cable->sides[0].may_have_more && !cable->sides[1].may_have_more) await(cable);
        for (int i = 0; i < 2; i++) {
            if (cable->sides[i].may_have_more) carry(cable, i);
        }
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"vnet", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
    static cable_t cable;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'v') refuse();
        cable.has_header = true;
    }
    if (argc - optind != 2) refuse();
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prepare(&cable, argv + optind);
    puts("{\"ready\": true}");
    fflush(stdout);
    run(&cable);
    const counts_t *counts = &cable.counts;
    printf(
        "{\"received\": %llu, \"sent\": %llu, \"sent_bytes\": %llu, \"failed\": %llu, "
        "\"waits\": %llu}\n",
        (unsigned long long)counts->received, (unsigned long long)counts->sent,
        (unsigned long long)counts->sent_bytes, (unsigned long long)counts->failed,
        (unsigned long long)counts->waits);
    return 0;
}
