// sock_diag(7) for UNIX sockets: the only way to learn whether a datagram peer still exists without
// sending to it, and who is connected to a socket without having sent.
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

// Room for one datagram of answers. The kernel fills at most 8 KiB where nobody asked for more
// (NLMSG_GOODSIZE in linux/netlink.h), or what an earlier recv() had room for.
union room {
    struct nlmsghdr first;
    char bytes[16384];
};

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
            diagnosis->has_uid = true;
            diagnosis->uid = word_at(value);
        } else if (attribute->rta_type == UNIX_DIAG_NAME &&
                   size <= sizeof diagnosis->name.bytes - sizeof(sa_family_t)) {
            sa_family_t family = AF_UNIX;
            memcpy(diagnosis->name.bytes, &family, sizeof family);
            memcpy(diagnosis->name.bytes + sizeof family, value, size);
            diagnosis->name.length = (uint32_t)(sizeof family + size);
        }
    }
}

// What one message says: 1 for a socket, which is put into `diagnosis`, 0 for the end of a table.
static int read_message(struct nlmsghdr *message, struct cshims_unix_diagnosis *diagnosis) {
    if (message->nlmsg_type == NLMSG_DONE) return 0;
    if (message->nlmsg_type == NLMSG_ERROR) {
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EBADMSG;
        int error = ((struct nlmsgerr *)NLMSG_DATA(message))->error;
        return error < 0 ? error : -EBADMSG;
    }
    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
        return -EBADMSG;
    struct unix_diag_msg *header = NLMSG_DATA(message);
    memset(diagnosis, 0, sizeof *diagnosis);
    diagnosis->inode = header->udiag_ino;
    read_attributes(header, message->nlmsg_len - NLMSG_HDRLEN, diagnosis);
    return 1;
}

// Sends a question; returns the socket that the answer is to be read from.
static int ask(uint32_t inode, uint16_t flags, uint32_t show) {
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0) return -errno;
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } question = {
        .header = {
            .nlmsg_len = sizeof question,
            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
            .nlmsg_flags = NLM_F_REQUEST | flags,
        },
        .request = {
            .sdiag_family = AF_UNIX,
            .udiag_states = UINT32_MAX,
            .udiag_ino = inode,
            .udiag_show = show,
            .udiag_cookie = {UINT32_MAX, UINT32_MAX},  // any
        },
    };
    if (send(netlink, &question, sizeof question, 0) >= 0) return netlink;
    int error = errno;
    close(netlink);
    return -error;
}

int cshims_unix_diagnose(uint32_t inode, struct cshims_unix_diagnosis *diagnosis) {
    memset(diagnosis, 0, sizeof *diagnosis);
    int netlink = ask(inode, 0, UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID);
    if (netlink < 0) return netlink;
    union room room;
    ssize_t length = recv(netlink, room.bytes, sizeof room.bytes, 0);
    int result = length < 0 ? -errno : -EBADMSG;
    if (length >= 0 && NLMSG_OK(&room.first, (size_t)length) &&
        room.first.nlmsg_type != NLMSG_DONE)
        result = read_message(&room.first, diagnosis);
    close(netlink);
    return result < 0 ? result : 0;
}

int cshims_unix_find_clients(
    uint32_t inode, struct cshims_unix_diagnosis *clients, uint32_t capacity) {
    int netlink = ask(0, NLM_F_DUMP, UDIAG_SHOW_PEER | UDIAG_SHOW_NAME | UDIAG_SHOW_UID);
    if (netlink < 0) return netlink;
    union room room;
    uint32_t count = 0;
    int result = 1;
    while (result > 0) {
        // Each part of the table is there when the one before it has been read.
        ssize_t left = recv(netlink, room.bytes, sizeof room.bytes, MSG_DONTWAIT);
        if (left < 0) result = -errno;
        struct nlmsghdr *message = &room.first;
        for (; result > 0 && NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            struct cshims_unix_diagnosis found;
            result = read_message(message, &found);
            if (result <= 0 || !found.has_peer || found.peer_inode != inode) continue;
            if (count < capacity) clients[count] = found;
            count++;
        }
    }
    close(netlink);
    return result < 0 ? result : (int)count;
}

int cshims_socket_diagnose(int descriptor, struct cshims_unix_diagnosis *diagnosis) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -errno;
    return cshims_unix_diagnose((uint32_t)status.st_ino, diagnosis);
}
