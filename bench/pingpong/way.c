// Sockets and headers of the two ways.
#define _GNU_SOURCE
#include "way.h"

#include "clock.h"
#include "unixgram.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAC_LENGTH = 6,
    ETHERNET_HEADER = 14,
    ETHERTYPE = 0x88B6, ///< IEEE 802 local experimental; loadgen has 0x88B5.
};

#define MAGIC 0x676E6F70676E6970ull

// The two ends need not be told of each other. The first question is for an address that the switch
// does not know, so it is flooded; it learns both addresses from there on.
static const uint8_t macs[][MAC_LENGTH] = {
    [SORT_QUESTION] = {0x02, 0x50, 0x50, 0, 0, SORT_QUESTION},
    [SORT_ANSWER] = {0x02, 0x50, 0x50, 0, 0, SORT_ANSWER},
};

static sort_t other(sort_t sort) {
    return sort == SORT_QUESTION ? SORT_ANSWER : SORT_QUESTION;
}

int way_open_udp(way_t *way, sort_t sort, const struct sockaddr_in *address) {
    *way = (way_t){.sort = sort, .partner = *address};
    way->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (way->descriptor < 0) return -errno;
    int result;
    if (sort == SORT_ANSWER) {
        result = bind(way->descriptor, (const struct sockaddr *)address, sizeof *address);
    } else {
        result = connect(way->descriptor, (const struct sockaddr *)address, sizeof *address);
    }
    return result == 0 ? 0 : -errno;
}

int way_open_port(way_t *way, sort_t sort, const char *port_path, uint64_t deadline) {
    *way = (way_t){.sort = sort, .header = ETHERNET_HEADER};
    memcpy(way->mac, macs[sort], MAC_LENGTH);
    snprintf(
        way->own_path, sizeof way->own_path, "/tmp/pingpong-%d-%d.sock", (int)getpid(), (int)sort);
    way->descriptor = unixgram_open(way->own_path);
    if (way->descriptor < 0) return way->descriptor;
    return unixgram_join(way->descriptor, port_path, true, deadline);
}

void way_set_patience(way_t *way, uint64_t nanoseconds) {
    struct timeval limit = {
        .tv_sec = (time_t)(nanoseconds / NANOSECONDS_PER_SECOND),
        .tv_usec =
            (suseconds_t)(nanoseconds % NANOSECONDS_PER_SECOND / NANOSECONDS_PER_MICROSECOND),
    };
    setsockopt(way->descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

static bool deliver(way_t *way, const message_t *message, uint32_t size) {
    if (way->header > 0) {
        memcpy(way->buffer, macs[other(way->sort)], MAC_LENGTH);
        memcpy(way->buffer + MAC_LENGTH, way->mac, MAC_LENGTH);
        way->buffer[2 * MAC_LENGTH] = ETHERTYPE >> 8;
        way->buffer[2 * MAC_LENGTH + 1] = ETHERTYPE & 0xFF;
    }
    memcpy(way->buffer + way->header, message, sizeof *message);
    // A connected socket takes no address, the answering one over UDP needs it.
    bool names_partner = way->header == 0 && way->sort == SORT_ANSWER;
    ssize_t sent = sendto(
        way->descriptor, way->buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL,
        names_partner ? (struct sockaddr *)&way->partner : NULL,
        names_partner ? sizeof way->partner : 0);
    return sent == (ssize_t)size;
}

bool way_ask(way_t *way, uint64_t number, uint64_t stamp, uint32_t size) {
    message_t question = {MAGIC, SORT_QUESTION, number, stamp};
    return deliver(way, &question, size);
}

bool way_answer(way_t *way, const message_t *question, uint32_t size) {
    message_t answer = *question;
    answer.sort = SORT_ANSWER;
    return deliver(way, &answer, size);
}

ssize_t way_receive(way_t *way, message_t *message, int flags) {
    for (;;) {
        socklen_t length = sizeof way->partner;
        struct sockaddr *sender = way->header == 0 ? (struct sockaddr *)&way->partner : NULL;
        ssize_t size = recvfrom(
            way->descriptor, way->buffer, sizeof way->buffer, flags, sender,
            sender != NULL ? &length : NULL);
        // Whoever asks over UDP before the other end is there learns of it as an error of a
        // receive.
        if (size < 0 && errno == ECONNREFUSED) continue;
        if (size < 0) return -1;
        if ((size_t)size >= way->header + sizeof *message) {
            memcpy(message, way->buffer + way->header, sizeof *message);
            if (message->magic == MAGIC && message->sort == other(way->sort)) return size;
        }
        way->strangers++;
    }
}

void way_close(way_t *way) {
    close(way->descriptor);
    if (way->own_path[0] != '\0') unlink(way->own_path);
}
