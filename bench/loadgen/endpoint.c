// An endpoint: a socket that joins a switch's port as libkrun does.
#define _GNU_SOURCE
#include "endpoint.h"

#include "stream.h"
#include "unixgram.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

// An extra address is that of its endpoint with another first half, and has its number in the last
// two bytes. What they cannot hold goes to the first byte, above the bits for group and locally
// administered addresses.
enum {
    EXTRA_MAC_PREFIX = 0x06, ///< Locally administered, and none that plans use for endpoints.
    EXTRA_MAC_STEP = 0x04,
    EXTRA_MAC_PREFIX_LAST = EXTRA_MAC_PREFIX + (EXTRA_MAC_LIMIT / 0x10000 - 1) * EXTRA_MAC_STEP,
};
_Static_assert(EXTRA_MAC_LIMIT % 0x10000 == 0, "each prefix has all values of two bytes");

int endpoint_attach(endpoint_t *endpoint, uint64_t deadline) {
    endpoint->descriptor = endpoint->is_stream ? stream_join(endpoint->port_path, deadline)
                                               : unixgram_open(endpoint->own_path);
    if (endpoint->descriptor < 0) return endpoint->descriptor;
    if (!endpoint->is_stream) {
        int result = unixgram_join(
            endpoint->descriptor, endpoint->port_path, endpoint->sends_magic, deadline);
        if (result != 0) return result;
    }

    int asked = endpoint->asked_send_buffer;
    setsockopt(endpoint->descriptor, SOL_SOCKET, SO_SNDBUF, &asked, sizeof asked);
    socklen_t size = sizeof endpoint->send_buffer;
    getsockopt(endpoint->descriptor, SOL_SOCKET, SO_SNDBUF, &endpoint->send_buffer, &size);
    return fcntl(endpoint->descriptor, F_SETFL, O_NONBLOCK) == 0 ? 0 : -errno;
}

int endpoint_rejoin(const endpoint_t *endpoint) {
    return unixgram_connect(endpoint->descriptor, endpoint->port_path, endpoint->sends_magic);
}

mac_t endpoint_extra_mac(const endpoint_t *endpoint, uint32_t index) {
    const uint8_t *own = endpoint->mac.bytes;
    uint8_t prefix = (uint8_t)(EXTRA_MAC_PREFIX + (index >> 16) * EXTRA_MAC_STEP);
    return (mac_t){{prefix, own[3], own[4], own[5], (uint8_t)(index >> 8), (uint8_t)index}};
}

bool endpoint_expects(const endpoint_t *endpoint, const uint8_t *destination) {
    const uint8_t *own = endpoint->mac.bytes;
    if (memcmp(destination, own, MAC_LENGTH) == 0) return true;
    if (destination[0] & 1) return true;
    uint8_t prefix = destination[0];
    return prefix >= EXTRA_MAC_PREFIX && prefix <= EXTRA_MAC_PREFIX_LAST
           && (prefix - EXTRA_MAC_PREFIX) % EXTRA_MAC_STEP == 0
           && memcmp(destination + 1, own + 3, 3) == 0;
}
