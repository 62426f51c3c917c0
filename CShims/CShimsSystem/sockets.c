#define _GNU_SOURCE
#include "sockets.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

// Newer than the headers of Debian 12; values from include/uapi/asm-generic/socket.h and
// include/linux/socket.h.
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76  // Linux 6.5
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83  // Linux 6.16
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04  // Linux 6.5
#endif

enum {
    rights_max = 253,   // SCM_MAX_FD: descriptors in one message
    batch_length = 64,  // datagrams handed to the kernel at once
};

// The kernel delivers credentials first, then the peer's descriptors, then the pidfd: with less
// room a peer that sends 253 descriptors would push the pidfd out.
union control_room {
    struct cmsghdr alignment;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(rights_max * sizeof(int)) +
               CMSG_SPACE(sizeof(int))];
};

static int option_set(int socket, int option, int value) {
    return setsockopt(socket, SOL_SOCKET, option, &value, sizeof value) < 0 ? -errno : 0;
}

int cshims_socket_create_unixgram(void) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int cshims_socket_create(int type) {
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int cshims_socket_listen(int socket, int backlog) {
    return listen(socket, backlog) < 0 ? -errno : 0;
}

int cshims_socket_accept(int socket) {
    int fd;
    do {
        fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd < 0 ? -errno : fd;
}

int cshims_socket_peer_credentials(int socket, int32_t *pid, uint32_t *uid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *pid = credentials.pid;
    *uid = credentials.uid;
    return 0;
}

static int path_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
    // An empty path would mean "choose an abstract name" to bind().
    if (length == 0) return -ENOENT;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    return 0;
}

int cshims_socket_bind_path(int socket, const char *path) {
    struct sockaddr_un address;
    int result = path_address(path, &address);
    if (result < 0) return result;
    return bind(socket, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

int cshims_socket_set_birth_mode(int socket, uint32_t mode) {
    return fchmod(socket, mode) < 0 ? -errno : 0;
}

int cshims_socket_connect(int socket, const struct cshims_unix_address *address) {
    uint32_t length = address->length;
    if (length <= offsetof(struct sockaddr_un, sun_path)) return -EDESTADDRREQ;
    if (length > sizeof(struct sockaddr_un)) length = sizeof(struct sockaddr_un);
    return connect(socket, (const struct sockaddr *)address->bytes, length) < 0 ? -errno : 0;
}

int cshims_socket_connect_path(int socket, const char *path) {
    struct sockaddr_un address;
    int result = path_address(path, &address);
    if (result < 0) return result;
    return connect(socket, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

int cshims_socket_disconnect(int socket) {
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    return connect(socket, &none, sizeof none) < 0 ? -errno : 0;
}

int64_t cshims_socket_set_send_buffer(int socket, int64_t value) {
    int clamped = value > INT32_MAX ? INT32_MAX : value < 0 ? 0 : (int)value;
    int result = option_set(socket, SO_SNDBUF, clamped);
    return result < 0 ? result : cshims_socket_send_buffer(socket);
}

int64_t cshims_socket_send_buffer(int socket) {
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &value, &length) < 0) return -errno;
    return value;
}

int cshims_socket_set_pass_credentials(int socket, bool on) {
    return option_set(socket, SO_PASSCRED, on);
}

int cshims_socket_set_pass_pidfd(int socket, bool on) {
    return option_set(socket, SO_PASSPIDFD, on);
}

int cshims_socket_set_pass_rights(int socket, bool on) {
    return option_set(socket, SO_PASSRIGHTS, on);
}

static void close_rights(struct cmsghdr *control) {
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < count; index++) {
        int fd;
        memcpy(&fd, CMSG_DATA(control) + index * sizeof fd, sizeof fd);
        close(fd);
    }
}

static void read_control(struct msghdr *message, struct cshims_datagram *datagram) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET) continue;
        if (control->cmsg_type == SCM_RIGHTS) {
            close_rights(control);
        } else if (control->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
            datagram->has_credentials = true;
            datagram->pid = credentials.pid;
            datagram->uid = credentials.uid;
            datagram->gid = credentials.gid;
        } else if (control->cmsg_type == SCM_PIDFD) {
            // Where the kernel could not make one it passes the -errno instead.
            int fd;
            memcpy(&fd, CMSG_DATA(control), sizeof fd);
            datagram->pidfd = fd < 0 ? -1 : fd;
        }
    }
}

int64_t cshims_socket_receive(
    int socket, void *buffer, size_t capacity, struct cshims_datagram *datagram) {
    union control_room control;
    struct iovec vector = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {
        .msg_name = datagram->source.bytes,
        .msg_namelen = sizeof datagram->source.bytes,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    memset(datagram, 0, sizeof *datagram);
    datagram->pidfd = -1;
    ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    if (length < 0) return -errno;
    datagram->source.length = message.msg_namelen > sizeof datagram->source.bytes
                                  ? sizeof datagram->source.bytes
                                  : message.msg_namelen;
    datagram->length = length;
    read_control(&message, datagram);
    return (size_t)length > capacity ? (int64_t)capacity : length;
}

static_assert(sizeof(struct cshims_gather) == 2 * sizeof(struct iovec), "taken as iovec");

int cshims_socket_send_batch(int socket, const struct cshims_gather *frames, uint32_t count) {
    struct mmsghdr messages[batch_length];
    uint32_t total = 0;
    while (total < count) {
        uint32_t chunk = count - total < batch_length ? count - total : batch_length;
        for (uint32_t index = 0; index < chunk; index++) {
            messages[index] = (struct mmsghdr){.msg_hdr = {
                .msg_iov = (struct iovec *)&frames[total + index], .msg_iovlen = 2}};
        }
        int sent = sendmmsg(socket, messages, chunk, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) return total > 0 ? (int)total : -errno;
        total += (uint32_t)sent;
        if ((uint32_t)sent < chunk) break;
    }
    return (int)total;
}

static_assert(sizeof(struct cshims_slice) == sizeof(struct iovec), "taken as iovec");

ssize_t cshims_stream_receive(int socket, struct cshims_slice first, struct cshims_slice second) {
    struct iovec vectors[2] = {
        {.iov_base = (void *)first.address, .iov_len = first.length},
        {.iov_base = (void *)second.address, .iov_len = second.length},
    };
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT);
    return count < 0 ? -errno : count;
}

ssize_t cshims_stream_send(int socket, const struct cshims_slice *pieces, uint32_t count) {
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
    ssize_t sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int cshims_socket_send_to(
    int socket, const void *bytes, size_t length, const struct cshims_unix_address *address) {
    socklen_t size = address->length;
    if (size > sizeof(struct sockaddr_un)) size = sizeof(struct sockaddr_un);
    ssize_t sent = sendto(
        socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
        (const struct sockaddr *)address->bytes, size);
    return sent < 0 ? -errno : 0;
}

bool cshims_socket_has_ended(int socket) {
    struct pollfd state = {.fd = socket, .events = POLLRDHUP};
    if (poll(&state, 1, 0) <= 0) return false;
    int bytes = 0;
    return ioctl(socket, SIOCINQ, &bytes) == 0 && bytes == 0;
}

int cshims_socket_outstanding(int socket) {
    int bytes = 0;
    return ioctl(socket, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}

int cshims_socket_name(int socket, struct cshims_unix_address *address) {
    socklen_t length = sizeof address->bytes;
    if (getsockname(socket, (struct sockaddr *)address->bytes, &length) < 0) return -errno;
    address->length = length;
    return 0;
}

int cshims_socket_peer_name(int socket, struct cshims_unix_address *address) {
    socklen_t length = sizeof address->bytes;
    if (getpeername(socket, (struct sockaddr *)address->bytes, &length) < 0) return -errno;
    address->length = length;
    return 0;
}
