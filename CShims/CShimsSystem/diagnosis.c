// sock_diag(7) for one UNIX socket: the only way to learn whether a datagram peer still exists
// without sending to it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sockets.h"

static uint32_t word_at(const void *address) {
    uint32_t value;
    memcpy(&value, address, sizeof value);
    return value;
}

static void read_attributes(
    struct unix_diag_msg *header, size_t length, struct cshims_unix_diagnosis *diagnosis) {
    struct rtattr *attribute = (struct rtattr *)(header + 1);
    int left = (int)(length - sizeof *header);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        const void *value = RTA_DATA(attribute);
        size_t size = RTA_PAYLOAD(attribute);
        if (attribute->rta_type == UNIX_DIAG_PEER && size >= sizeof(uint32_t)) {
            diagnosis->has_peer = true;
            diagnosis->peer_inode = word_at(value);
        } else if (attribute->rta_type == UNIX_DIAG_RQLEN &&
                   size >= sizeof(struct unix_diag_rqlen)) {
            diagnosis->receive_queue =
                word_at((const char *)value + offsetof(struct unix_diag_rqlen, udiag_rqueue));
        } else if (attribute->rta_type == UNIX_DIAG_UID && size >= sizeof(uint32_t)) {
            diagnosis->uid = word_at(value);
        }
    }
}

static int read_answer(int netlink, struct cshims_unix_diagnosis *diagnosis) {
    union {
        struct nlmsghdr alignment;
        char bytes[4096];
    } room;
    ssize_t length = recv(netlink, room.bytes, sizeof room.bytes, 0);
    if (length < 0) return -errno;
    struct nlmsghdr *message = &room.alignment;
    if (!NLMSG_OK(message, (size_t)length)) return -EBADMSG;
    if (message->nlmsg_type == NLMSG_ERROR) {
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EBADMSG;
        int error = ((struct nlmsgerr *)NLMSG_DATA(message))->error;
        return error < 0 ? error : -EBADMSG;
    }
    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
        return -EBADMSG;
    struct unix_diag_msg *header = NLMSG_DATA(message);
    diagnosis->inode = header->udiag_ino;
    read_attributes(header, message->nlmsg_len - NLMSG_HDRLEN, diagnosis);
    return 0;
}

int cshims_unix_diagnose(uint32_t inode, struct cshims_unix_diagnosis *diagnosis) {
    memset(diagnosis, 0, sizeof *diagnosis);
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) return -errno;
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } question = {
        .header = {
            .nlmsg_len = sizeof question,
            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
            .nlmsg_flags = NLM_F_REQUEST,
        },
        .request = {
            .sdiag_family = AF_UNIX,
            .udiag_states = UINT32_MAX,
            .udiag_ino = inode,
            .udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID,
            .udiag_cookie = {UINT32_MAX, UINT32_MAX},  // any
        },
    };
    int result = 0;
    if (send(netlink, &question, sizeof question, 0) < 0) {
        result = -errno;
    } else {
        result = read_answer(netlink, diagnosis);
    }
    close(netlink);
    return result;
}

int cshims_socket_diagnose(int descriptor, struct cshims_unix_diagnosis *diagnosis) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -errno;
    return cshims_unix_diagnose((uint32_t)status.st_ino, diagnosis);
}
