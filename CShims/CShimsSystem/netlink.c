// rtnetlink(7): one request, one answer. Every request asks for an acknowledgement, so exactly one
// message comes back that ends the exchange.
#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { attribute_room = 256, answer_room = 16384 };

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg link;
    char attributes[attribute_room];
};

struct address_request {
    struct nlmsghdr header;
    struct ifaddrmsg address;
    char attributes[attribute_room];
};

union answer {
    struct nlmsghdr alignment;
    char bytes[answer_room];
};

/// Appends an attribute. All values here have a fixed, small size: the room cannot run out.
static void add_attribute(
    struct nlmsghdr *header, uint16_t type, const void *value, size_t length) {
    struct rtattr *attribute = (struct rtattr *)((char *)header + NLMSG_ALIGN(header->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), value, length);
    header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static struct link_request link_request(uint16_t type, uint32_t index) {
    return (struct link_request){
        .header = {
            .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
            .nlmsg_type = type,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
        },
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index},
    };
}

/// Takes one message of the answer. 1: more to come; else the end, 0 or -errno.
static int take_message(struct nlmsghdr *message, union answer *kept, bool *has_kept) {
    if (message->nlmsg_type == NLMSG_ERROR) {
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EBADMSG;
        return ((struct nlmsgerr *)NLMSG_DATA(message))->error;
    }
    if (kept != NULL && message->nlmsg_len <= sizeof kept->bytes) {
        memcpy(kept->bytes, message, message->nlmsg_len);
        *has_kept = true;
    }
    return 1;
}

/// Sends a request and waits for its acknowledgement; a message that comes before it is copied into
/// `kept`. Answers to an older request (an exchange that was broken off) are recognised by number.
static int exchange(int netlink, struct nlmsghdr *request, union answer *kept) {
    static _Atomic uint32_t last_number;
    request->nlmsg_seq = ++last_number;
    if (send(netlink, request, request->nlmsg_len, 0) < 0) return -errno;
    bool has_kept = false;
    for (;;) {
        union answer answer;
        ssize_t length = recv(netlink, answer.bytes, sizeof answer.bytes, 0);
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return -errno;
        struct nlmsghdr *message = &answer.alignment;
        uint32_t left = (uint32_t)length;
        for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_seq != request->nlmsg_seq) continue;
            int result = take_message(message, kept, &has_kept);
            if (result < 0) return result;
            if (result == 0) return kept != NULL && !has_kept ? -EBADMSG : 0;
        }
    }
}

static void read_statistics(const void *value, size_t size, struct cshims_link *link) {
    // The kernel's structure grows at its end: take what both sides know.
    struct rtnl_link_stats64 statistics = {0};
    memcpy(&statistics, value, size < sizeof statistics ? size : sizeof statistics);
    link->rx_frames = statistics.rx_packets;
    link->rx_bytes = statistics.rx_bytes;
    link->rx_dropped = statistics.rx_dropped;
    link->tx_frames = statistics.tx_packets;
    link->tx_bytes = statistics.tx_bytes;
    link->tx_dropped = statistics.tx_dropped;
}

static int read_link(struct nlmsghdr *message, struct cshims_link *link) {
    if (message->nlmsg_type != RTM_NEWLINK ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return -EBADMSG;
    struct ifinfomsg *header = NLMSG_DATA(message);
    memset(link, 0, sizeof *link);
    link->index = (uint32_t)header->ifi_index;
    link->is_up = (header->ifi_flags & IFF_UP) != 0;
    struct rtattr *attribute = IFLA_RTA(header);
    int left = (int)IFLA_PAYLOAD(message);
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        const void *value = RTA_DATA(attribute);
        size_t size = RTA_PAYLOAD(attribute);
        if (attribute->rta_type == IFLA_MTU && size >= sizeof link->mtu) {
            memcpy(&link->mtu, value, sizeof link->mtu);
        } else if (attribute->rta_type == IFLA_TXQLEN && size >= sizeof link->tx_queue_length) {
            memcpy(&link->tx_queue_length, value, sizeof link->tx_queue_length);
        } else if (attribute->rta_type == IFLA_ADDRESS && size >= sizeof link->mac) {
            memcpy(link->mac, value, sizeof link->mac);
        } else if (attribute->rta_type == IFLA_STATS64) {
            read_statistics(value, size, link);
        }
    }
    return 0;
}

int cshims_link_get(int netlink, const char *name, struct cshims_link *link) {
    size_t length = strlen(name);
    if (length >= IFNAMSIZ) return -ENAMETOOLONG;
    struct link_request request = link_request(RTM_GETLINK, 0);
    add_attribute(&request.header, IFLA_IFNAME, name, length + 1);
    union answer answer;
    int result = exchange(netlink, &request.header, &answer);
    return result < 0 ? result : read_link(&answer.alignment, link);
}

int cshims_link_set_up(int netlink, uint32_t index, bool up) {
    struct link_request request = link_request(RTM_NEWLINK, index);
    request.link.ifi_flags = up ? IFF_UP : 0;
    request.link.ifi_change = IFF_UP;
    return exchange(netlink, &request.header, NULL);
}

static int set_attribute(
    int netlink, uint32_t index, uint16_t type, const void *value, size_t length) {
    struct link_request request = link_request(RTM_NEWLINK, index);
    add_attribute(&request.header, type, value, length);
    return exchange(netlink, &request.header, NULL);
}

int cshims_link_set_mtu(int netlink, uint32_t index, uint32_t mtu) {
    return set_attribute(netlink, index, IFLA_MTU, &mtu, sizeof mtu);
}

int cshims_link_set_tx_queue_length(int netlink, uint32_t index, uint32_t length) {
    return set_attribute(netlink, index, IFLA_TXQLEN, &length, sizeof length);
}

int cshims_link_set_mac(int netlink, uint32_t index, const uint8_t mac[6]) {
    return set_attribute(netlink, index, IFLA_ADDRESS, mac, 6);
}

int cshims_link_add_address(
    int netlink, uint32_t index, const uint8_t *address, uint32_t length, uint8_t prefix_length) {
    if ((length != 4 && length != 16) || prefix_length > length * 8) return -EINVAL;
    struct address_request request = {
        .header = {
            .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
            .nlmsg_type = RTM_NEWADDR,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        },
        .address = {
            .ifa_family = length == 4 ? AF_INET : AF_INET6,
            .ifa_prefixlen = prefix_length,
            .ifa_index = index,
        },
    };
    add_attribute(&request.header, IFA_LOCAL, address, length);
    add_attribute(&request.header, IFA_ADDRESS, address, length);
    return exchange(netlink, &request.header, NULL);
}

int cshims_link_delete(int netlink, uint32_t index) {
    struct link_request request = link_request(RTM_DELLINK, index);
    return exchange(netlink, &request.header, NULL);
}
