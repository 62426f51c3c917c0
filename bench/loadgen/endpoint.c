// An endpoint: a socket that joins a switch's port as libkrun does.
#define _GNU_SOURCE
#include "endpoint.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RETRY_INTERVAL = 2 * NANOSECONDS_PER_MILLISECOND,
    EXTRA_MAC_PREFIX = 0x06, ///< Locally administered, and none that plans use for endpoints.
};

static int connect_to_port(const endpoint_t *endpoint) {
    struct sockaddr_un port = {.sun_family = AF_UNIX};
    memcpy(port.sun_path, endpoint->port_path, sizeof port.sun_path);
    if (connect(endpoint->descriptor, (struct sockaddr *)&port, sizeof port) != 0) return -errno;
    if (endpoint->sends_magic && send(endpoint->descriptor, "VFKT", 4, MSG_NOSIGNAL) != 4)
        return -errno;
    return 0;
}

/// Errors that pass: the switch is not there yet, or has not yet noticed the death of the port's
/// last peer.
static bool passes(int error) {
    return error == -ENOENT || error == -ECONNREFUSED || error == -EPERM || error == -EAGAIN;
}

int endpoint_attach(endpoint_t *endpoint, uint64_t deadline) {
    endpoint->descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (endpoint->descriptor < 0) return -errno;

    struct sockaddr_un own = {.sun_family = AF_UNIX};
    memcpy(own.sun_path, endpoint->own_path, sizeof own.sun_path);
    unlink(endpoint->own_path);
    if (bind(endpoint->descriptor, (struct sockaddr *)&own, sizeof own) != 0) return -errno;

    int result;
    while (passes(result = connect_to_port(endpoint)) && clock_now() < deadline) {
        clock_sleep_until(clock_now() + RETRY_INTERVAL);
    }
    if (result != 0) return result;

    int asked = endpoint->asked_send_buffer;
    setsockopt(endpoint->descriptor, SOL_SOCKET, SO_SNDBUF, &asked, sizeof asked);
    socklen_t size = sizeof endpoint->send_buffer;
    getsockopt(endpoint->descriptor, SOL_SOCKET, SO_SNDBUF, &endpoint->send_buffer, &size);
    return fcntl(endpoint->descriptor, F_SETFL, O_NONBLOCK) == 0 ? 0 : -errno;
}

int endpoint_rejoin(const endpoint_t *endpoint) {
    return connect_to_port(endpoint);
}

mac_t endpoint_extra_mac(const endpoint_t *endpoint, uint32_t index) {
    const uint8_t *own = endpoint->mac.bytes;
    return (mac_t){
        {EXTRA_MAC_PREFIX, own[3], own[4], own[5], (uint8_t)(index >> 8), (uint8_t)index}};
}

bool endpoint_expects(const endpoint_t *endpoint, const uint8_t *destination) {
    const uint8_t *own = endpoint->mac.bytes;
    if (memcmp(destination, own, MAC_LENGTH) == 0) return true;
    if (destination[0] & 1) return true;
    return destination[0] == EXTRA_MAC_PREFIX && memcmp(destination + 1, own + 3, 3) == 0;
}
