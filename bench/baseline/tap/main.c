// cable-tap: frames from one TAP device to the other.
//
//   cable-tap [--vnet] [--uring] NETNS:DEVICE NETNS:DEVICE
//
// The devices are made in two named network namespaces and go with the process; whoever started it
// configures them and brings them up after the line {"ready": true}. As cable.h says of its
// sisters: no address is looked at, nothing is learned, nothing is queued.
//
// With --vnet every frame carries the kernel's virtio_net_hdr of 12 bytes, and the kernel may hand
// out frames of 64 KiB with partial checksums. What one TAP says of a frame is what the other wants
// to hear, so header and frame are passed on as they are: the way TCP costs least.
//
// Writing to a TAP never waits: the kernel hands the frame to the host's stack inside the call, or
// drops it there, which the device counts.

#define _GNU_SOURCE
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

volatile sig_atomic_t cable_is_stopped;

static void stop(int signal_number) {
    (void)signal_number;
    cable_is_stopped = 1;
}

_Noreturn static void refuse(void) {
    fputs("usage: cable-tap [--vnet] [--uring] NETNS:DEVICE NETNS:DEVICE\n", stderr);
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
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0) cable_fail(path, errno);
    close(namespace);
    return colon + 1;
}

/// Makes the device; its descriptor belongs to its namespace for good.
static int open_device(const char *place, bool has_header) {
    const char *name = enter(place);
    int descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) cable_fail("/dev/net/tun", errno);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (has_header) request.ifr_flags |= IFF_VNET_HDR;
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(descriptor, TUNSETIFF, &request) != 0) cable_fail(place, errno);
    if (!has_header) return descriptor;
    int length = VNET_HEADER_LENGTH;
    unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (ioctl(descriptor, TUNSETVNETHDRSZ, &length) != 0
        || ioctl(descriptor, TUNSETOFFLOAD, offloads) != 0) {
        cable_fail("the virtio header", errno);
    }
    return descriptor;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"vnet", no_argument, NULL, 'v'}, {"uring", no_argument, NULL, 'u'}, {NULL, 0, NULL, 0}};
    static cable_t cable;
    bool uses_ring = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'v': cable.has_header = true; break;
        case 'u': uses_ring = true; break;
        default: refuse();
        }
    }
    if (argc - optind != 2) refuse();
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    for (int i = 0; i < 2; i++) {
        cable.descriptors[i] = open_device(argv[optind + i], cable.has_header);
    }
    puts("{\"ready\": true}");
    fflush(stdout);
    if (uses_ring) {
        uring_run(&cable);
    } else {
        plain_run(&cable);
    }
    const counts_t *counts = &cable.counts;
    printf(
        "{\"received\": %llu, \"sent\": %llu, \"failed\": %llu, \"waits\": %llu}\n",
        (unsigned long long)counts->received, (unsigned long long)counts->sent,
        (unsigned long long)counts->failed, (unsigned long long)counts->waits);
    return 0;
}
