// TAP devices in any network namespace (tap.h).
#define _GNU_SOURCE
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct opening {
    const char *path;
    bool with_tun;
    struct cshims_network *network;
    int result;
};

static int open_handles(bool with_tun, struct cshims_network *network) {
    if (with_tun) {
        network->step = CSHIMS_NETWORK_OPEN_TUN;
        network->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (network->tun < 0) return -errno;
    }
    network->step = CSHIMS_NETWORK_OPEN_NETLINK;
    network->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (network->netlink < 0) {
        int error = -errno;
        if (network->tun >= 0) close(network->tun);
        network->tun = -1;
        return error;
    }
    network->step = CSHIMS_NETWORK_DONE;
    return 0;
}

static int enter_and_open(struct opening *opening) {
    opening->network->step = CSHIMS_NETWORK_OPEN_NAMESPACE;
    int namespace = open(opening->path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0) return -errno;
    opening->network->step = CSHIMS_NETWORK_ENTER_NAMESPACE;
    int result = setns(namespace, CLONE_NEWNET) < 0 ? -errno : 0;
    close(namespace);
    return result < 0 ? result : open_handles(opening->with_tun, opening->network);
}

static void *opening_thread(void *argument) {
    struct opening *opening = argument;
    opening->result = enter_and_open(opening);
    return NULL;
}

int cshims_network_open(const char *path, bool with_tun, struct cshims_network *network) {
    *network = (struct cshims_network){.tun = -1, .netlink = -1};
    if (path == NULL) return open_handles(with_tun, network);

    // setns() moves one thread only, so this one never leaves its own namespace.
    struct opening opening = {.path = path, .with_tun = with_tun, .network = network};
    network->step = CSHIMS_NETWORK_START_THREAD;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, opening_thread, &opening);
    if (error != 0) return -error;
    pthread_join(thread, NULL);
    return opening.result;
}

// Bits of TUNSETOFFLOAD (linux/if_tun.h); the headers of older systems lack the last two.
enum {
    OFFLOAD_CSUM = 0x01,
    OFFLOAD_TSO4 = 0x02,
    OFFLOAD_TSO6 = 0x04,
    OFFLOAD_TSO_ECN = 0x08,
    OFFLOAD_USO4 = 0x20,
    OFFLOAD_USO6 = 0x40,
    OFFLOAD_TCP = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN,
    OFFLOAD_UDP = OFFLOAD_USO4 | OFFLOAD_USO6,
};

static int set_offload(int tun, enum cshims_tap_offload offload) {
    if (offload == CSHIMS_TAP_OFFLOAD_NONE) {
        // A persistent device keeps what its last user took over. A kernel that cannot switch
        // anything off has nothing on.
        (void)ioctl(tun, TUNSETOFFLOAD, 0UL);
        return 0;
    }
    int length = CSHIMS_TAP_HEADER_LENGTH;
    if (ioctl(tun, TUNSETVNETHDRSZ, &length) < 0) return -errno;
    if (offload == CSHIMS_TAP_OFFLOAD_TCP_UDP) {
        if (ioctl(tun, TUNSETOFFLOAD, (unsigned long)(OFFLOAD_TCP | OFFLOAD_UDP)) == 0) return 0;
        if (errno != EINVAL) return -errno;
    }
    return ioctl(tun, TUNSETOFFLOAD, (unsigned long)OFFLOAD_TCP) < 0 ? -errno : 0;
}

int cshims_tap_attach(
    int tun, const char *name, enum cshims_tap_mode mode, enum cshims_tap_offload offload) {
    size_t length = strlen(name);
    if (length > CSHIMS_TAP_NAME_LENGTH_MAX) return -ENAMETOOLONG;
    if (length == 0) return -EINVAL;
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (mode == CSHIMS_TAP_CREATE) request.ifr_flags |= (short)IFF_TUN_EXCL;
    if (offload != CSHIMS_TAP_OFFLOAD_NONE) request.ifr_flags |= IFF_VNET_HDR;
    memcpy(request.ifr_name, name, length);
    if (ioctl(tun, TUNSETIFF, &request) < 0) return -errno;
    return set_offload(tun, offload);
}

int cshims_tap_adopt(int tun, enum cshims_tap_offload offload) {
    return set_offload(tun, offload);
}

int cshims_tap_set_persistent(int tun, bool on) {
    return ioctl(tun, TUNSETPERSIST, (unsigned long)on) < 0 ? -errno : 0;
}

int cshims_tap_check(int tun) {
    struct ifreq request = {0};
    return ioctl(tun, TUNGETIFF, &request) < 0 ? -errno : 0;
}

int cshims_tap_read_batch(
    int tun, void *memory, size_t stride, uint32_t capacity, int32_t *lengths, uint32_t count) {
    uint8_t *frame = memory;
    for (uint32_t index = 0; index < count; index++, frame += stride) {
        ssize_t length;
        do {
            length = read(tun, frame, capacity);
        } while (length < 0 && errno == EINTR);
        if (length < 0) return index > 0 ? (int)index : -errno;
        lengths[index] = (int32_t)length;
    }
    return (int)count;
}

int cshims_tap_write_batch(int tun, const struct cshims_gather *frames, uint32_t count) {
    for (uint32_t index = 0; index < count; index++) {
        if (writev(tun, (const struct iovec *)&frames[index], 2) < 0) {
            return index > 0 ? (int)index : -errno;
        }
    }
    return (int)count;
}
