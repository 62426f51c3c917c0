// TAP devices, also in other network namespaces.
//
// A descriptor of /dev/net/tun and a netlink socket both belong for ever to the network namespace
// in which they were opened. So one short-lived thread that enters the namespace, opens the two and
// ends is enough: creating and configuring the device is then done from any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sockets.h"

/// Longest device name, without the closing zero (IFNAMSIZ - 1).
enum { CSHIMS_TAP_NAME_LENGTH_MAX = 15 };

/// The step at which opening the handles stopped.
enum cshims_network_step {
    CSHIMS_NETWORK_DONE = 0,
    CSHIMS_NETWORK_START_THREAD = 1,     // pthread_create
    CSHIMS_NETWORK_OPEN_NAMESPACE = 2,   // open of the namespace's file
    CSHIMS_NETWORK_ENTER_NAMESPACE = 3,  // setns; -EINVAL: the file is no network namespace
    CSHIMS_NETWORK_OPEN_TUN = 4,         // open of /dev/net/tun
    CSHIMS_NETWORK_OPEN_NETLINK = 5,     // rtnetlink socket
};

/// Two descriptors that belong to one network namespace; both the caller's to close.
struct cshims_network {
    int32_t tun;      // /dev/net/tun, non-blocking, not yet a device; -1: not asked for
    int32_t netlink;  // rtnetlink socket for the functions of netlink.h; both close-on-exec
    int32_t step;     // enum cshims_network_step: where it failed, CSHIMS_NETWORK_DONE otherwise
};

/// Opens the handles in the namespace at `path` (/run/netns/NAME, /proc/PID/ns/net), or in the
/// calling thread's own where `path` is NULL. On failure both descriptors are -1 and `step` is set.
int cshims_network_open(const char *path, bool with_tun, struct cshims_network *network);

/// How TUNSETIFF is to treat a name that exists.
enum cshims_tap_mode {
    CSHIMS_TAP_CREATE = 0,  // -EBUSY where the name exists (IFF_TUN_EXCL)
    CSHIMS_TAP_OPEN = 1,    // attach to it, or create it
};

/// Length of the virtio header before each frame of a device that leaves work to its reader: struct
/// virtio_net_hdr_v1 (linux/virtio_net.h), in the machine's own byte order.
enum { CSHIMS_TAP_HEADER_LENGTH = 12 };

/// What the kernel leaves to the reader of a device (TUNSETOFFLOAD). Every sort of unfinished frame
/// may be written to a device with a header, whatever its reader takes.
enum cshims_tap_offload {
    CSHIMS_TAP_OFFLOAD_NONE = 0,     // no header: checksums are complete, frames fit the MTU
    CSHIMS_TAP_OFFLOAD_TCP = 1,      // a header: checksums, and cutting up TCP
    CSHIMS_TAP_OFFLOAD_TCP_UDP = 2,  // and cutting up UDP, where the kernel has it (Linux 6.2)
};

/// Makes the descriptor a TAP device of that name: Ethernet frames without packet information.
/// -EPERM: no CAP_NET_ADMIN; -EBUSY: the device exists or is in use; -EINVAL: the name is not a
/// legal one or belongs to a device that is no TAP; -ENAMETOOLONG: more than 15 bytes.
int cshims_tap_attach(
    int tun, const char *name, enum cshims_tap_mode mode, enum cshims_tap_offload offload);

/// Sets up a device that another process has opened: the length of its header, and what is left to
/// its reader. Its flags must fit: a header or none.
int cshims_tap_adopt(int tun, enum cshims_tap_offload offload);

/// Lets the device outlive its descriptor, or not (TUNSETPERSIST).
int cshims_tap_set_persistent(int tun, bool on);

/// Whether the descriptor still is a device: 0, or -EBADFD once somebody has deleted it
/// (TUNGETIFF).
int cshims_tap_check(int tun);

/// Reads frames of a device without blocking until it has no more: frame i to `memory` + i *
/// `stride`, its length to `lengths`[i]. A frame longer than `capacity` is cut without a sign.
/// Returns how many there are, or the -errno of the first read; -EBADFD: the device has been
/// deleted.
int cshims_tap_read_batch(
    int tun, void *memory, size_t stride, uint32_t capacity, int32_t *lengths, uint32_t count);

/// Writes frames to a device in order without blocking, and stops at the first refusal. Returns how
/// many were written, or the -errno of the first one.
int cshims_tap_write_batch(int tun, const struct cshims_gather *frames, uint32_t count);
