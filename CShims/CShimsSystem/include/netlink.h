// The few rtnetlink requests that a switch needs. The socket decides the network namespace
// (tap.h, cshims_network_open); it is used by one thread at a time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// Settings and counters of a network device, as the host sees it: rx is what the device gave to
/// the host's stack, tx is what the stack gave to the device.
struct cshims_link {
    uint32_t index;
    uint32_t mtu;              // bytes of payload
    uint32_t tx_queue_length;  // frames
    bool is_up;                // IFF_UP
    uint8_t mac[6];
    uint64_t rx_frames, rx_bytes, rx_dropped;
    uint64_t tx_frames, tx_bytes, tx_dropped;  // tx_dropped of a TAP: frames its full ring refused
};

/// Looks a device up by name. -ENODEV: there is none.
int cshims_link_get(int netlink, const char *name, struct cshims_link *link);

/// Brings the device up or down.
int cshims_link_set_up(int netlink, uint32_t index, bool up);

/// Sets the MTU in bytes. -EINVAL, -ERANGE: outside of what the device allows.
int cshims_link_set_mtu(int netlink, uint32_t index, uint32_t mtu);

/// Sets how many frames wait in the device before it drops; a TAP sizes its ring by it.
int cshims_link_set_tx_queue_length(int netlink, uint32_t index, uint32_t length);

/// Sets the hardware address. -EADDRNOTAVAIL: it is a group address or zero.
int cshims_link_set_mac(int netlink, uint32_t index, const uint8_t mac[6]);

/// Adds an address: 4 bytes (IPv4) or 16 (IPv6), network order. -EEXIST: it has it already.
int cshims_link_add_address(
    int netlink, uint32_t index, const uint8_t *address, uint32_t length, uint8_t prefix_length);

/// Removes the device. -EOPNOTSUPP: it is not one that can be removed.
int cshims_link_delete(int netlink, uint32_t index);
