// Joining a switch's unixgram port the way libkrun does.
#define _GNU_SOURCE
#include "unixgram.h"

#include "clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RETRY_INTERVAL = 2 * NANOSECONDS_PER_MILLISECOND };

/// - Returns: 0, or -ENAMETOOLONG.
static int set_path(struct sockaddr_un *address, const char *path) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
    memcpy(address->sun_path, path, length);
    return 0;
}

int unixgram_open(const char *own_path) {
    struct sockaddr_un own;
    int result = set_path(&own, own_path);
    if (result != 0) return result;
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    unlink(own_path);
    if (bind(descriptor, (struct sockaddr *)&own, sizeof own) != 0) {
        result = -errno;
        close(descriptor);
        return result;
    }
    return descriptor;
}

int unixgram_connect(int descriptor, const char *port_path, bool greets) {
    struct sockaddr_un port;
    int result = set_path(&port, port_path);
    if (result != 0) return result;
    if (connect(descriptor, (struct sockaddr *)&port, sizeof port) != 0) return -errno;
    if (greets && send(descriptor, "VFKT", 4, MSG_NOSIGNAL) != 4) return -errno;
    return 0;
}

static bool passes(int error) {
    return error == -ENOENT || error == -ECONNREFUSED || error == -EPERM || error == -EAGAIN;
}

int unixgram_join(int descriptor, const char *port_path, bool greets, uint64_t deadline) {
    int result;
    while (passes(result = unixgram_connect(descriptor, port_path, greets))
           && clock_now() < deadline) {
        clock_sleep_until(clock_now() + RETRY_INTERVAL);
    }
    return result;
}
