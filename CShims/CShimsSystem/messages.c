// Messages with descriptors (messages.h).
#define _GNU_SOURCE
#include "messages.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control_room {
    struct cmsghdr alignment;
    char bytes[CMSG_SPACE(CSHIMS_MESSAGE_DESCRIPTORS_MAX * sizeof(int32_t))];
};

int cshims_message_socket_create(void) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

int cshims_message_socket_listen(int socket, int backlog) {
    return listen(socket, backlog) < 0 ? -errno : 0;
}

int cshims_message_socket_accept(int socket) {
    int fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int cshims_message_socket_peer(int socket, struct cshims_credentials *peer) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *peer = (struct cshims_credentials){
        .pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
    return 0;
}

int cshims_message_send(
    int socket, const void *bytes, size_t length, const int32_t *descriptors, uint32_t count) {
    if (count > CSHIMS_MESSAGE_DESCRIPTORS_MAX) return -EINVAL;
    union control_room control;
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int32_t));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int32_t));
        memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int32_t));
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void take_rights(struct cmsghdr *control, struct cshims_message *message) {
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int32_t);
    for (size_t index = 0; index < count; index++) {
        int32_t fd;
        memcpy(&fd, CMSG_DATA(control) + index * sizeof fd, sizeof fd);
        message->descriptors[message->count++] = fd;
    }
}

int64_t cshims_message_receive(
    int socket, void *buffer, size_t capacity, uint32_t descriptors_max,
    struct cshims_message *received) {
    if (descriptors_max > CSHIMS_MESSAGE_DESCRIPTORS_MAX) return -EINVAL;
    union control_room control;
    struct iovec vector = {.iov_base = buffer, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        // CMSG_SPACE rounds up, which would let one more in; the kernel takes CMSG_LEN as well.
        .msg_controllen = CMSG_LEN(descriptors_max * sizeof(int32_t)),
    };
    received->count = 0;
    ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    if (length < 0) return -errno;
    received->length = length;
    received->is_cut = (message.msg_flags & MSG_CTRUNC) != 0;
    // The room is for one header, so there is one at most.
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights != NULL && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS)
        take_rights(rights, received);
    return (size_t)length > capacity ? (int64_t)capacity : length;
}
