// Descriptors that another process opened (descriptors.h).
#define _GNU_SOURCE
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; include/uapi/asm-generic/socket.h
#endif

static int option_get(int socket, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(socket, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

static void inspect_socket(int socket, struct cshims_descriptor_facts *facts) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    facts->is_socket = true;
    facts->domain = option_get(socket, SO_DOMAIN);
    facts->type = option_get(socket, SO_TYPE);
    facts->is_listening = option_get(socket, SO_ACCEPTCONN) > 0;
    facts->is_connected = getpeername(socket, (struct sockaddr *)&peer, &length) == 0;
}

static void inspect_device(int device, struct cshims_descriptor_facts *facts) {
    struct ifreq request = {0};
    if (ioctl(device, TUNGETIFF, &request) < 0) return;
    facts->is_tun = true;
    facts->is_tap = (request.ifr_flags & IFF_TAP) != 0;
    facts->has_packet_information = (request.ifr_flags & IFF_NO_PI) == 0;
    facts->has_virtio_header = (request.ifr_flags & IFF_VNET_HDR) != 0;
    memcpy(facts->device, request.ifr_name, CSHIMS_TAP_NAME_LENGTH_MAX);
}

int cshims_descriptor_inspect(int descriptor, struct cshims_descriptor_facts *facts) {
    memset(facts, 0, sizeof *facts);
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -errno;
    if (S_ISSOCK(status.st_mode)) inspect_socket(descriptor, facts);
    // Other files may take the number of the question for one of their own.
    if (S_ISCHR(status.st_mode)) inspect_device(descriptor, facts);
    return 0;
}

int cshims_descriptor_set_inheritable(int descriptor, bool on) {
    return fcntl(descriptor, F_SETFD, on ? 0 : FD_CLOEXEC) < 0 ? -errno : 0;
}

int cshims_descriptor_is_inheritable(int descriptor) {
    int flags = fcntl(descriptor, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

int cshims_descriptor_adopt(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -errno;
    if (fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    return cshims_descriptor_set_inheritable(descriptor, false);
}

bool cshims_socket_is_shut_down(int socket) {
    struct pollfd entry = {.fd = socket, .events = POLLRDHUP};
    return poll(&entry, 1, 0) > 0 && (entry.revents & POLLRDHUP) != 0;
}

int cshims_socket_create_unixgram_pair(int32_t pair[2]) {
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

int cshims_socket_peer_pidfd(int socket) {
    return option_get(socket, SO_PEERPIDFD);
}

int cshims_descriptor_duplicate(int descriptor) {
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}

int cshims_descriptor_place(int descriptor, int number) {
    // dup2() of a descriptor onto itself leaves close-on-exec as it is.
    if (descriptor == number) return cshims_descriptor_set_inheritable(descriptor, true);
    return dup2(descriptor, number) < 0 ? -errno : 0;
}
