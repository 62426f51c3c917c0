// The way that messages go: a UDP socket, or a socket at a switch's unixgram port.
//
// A message is a question, or the answer to it, which is the question with another sort. Over UDP
// it is the payload of a datagram, at a port that of an Ethernet frame:
//
//   offset  bytes  field
//        0      8  magic number, by which a stranger's datagram is known
//        8      8  sort_t
//       16      8  number of the question, from 0
//       24      8  CLOCK_MONOTONIC nanoseconds at which it was asked
//       32      -  nothing that means anything, up to the size asked for
//
// Fields are in the machine's own order: no message leaves the machine.

#ifndef PINGPONG_WAY_H
#define PINGPONG_WAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
    LENGTH_MIN = 60, ///< Shortest frame; the shortest payload, too, for the sake of one limit.
    LENGTH_MAX = 9000,
};

typedef enum { SORT_QUESTION = 1, SORT_ANSWER = 2 } sort_t;

typedef struct {
    uint64_t magic;
    uint64_t sort;
    uint64_t number;
    uint64_t stamp;
} message_t;

/// One end of the way.
typedef struct {
    int descriptor;
    sort_t sort;     ///< What this end sends.
    uint32_t header; ///< Bytes before the message: of Ethernet, or none.
    uint8_t mac[6];  ///< At a port.
    char own_path[sizeof(((struct sockaddr_un *)0)->sun_path)]; ///< At a port.
    struct sockaddr_in partner;                                 ///< Over UDP.
    uint64_t strangers;         ///< Datagrams that were no message for this end.
    uint8_t buffer[LENGTH_MAX]; ///< The last datagram.
} way_t;

/// Opens a UDP socket: bound to the address by the end that answers.
/// - Returns: 0 or -errno.
int way_open_udp(way_t *way, sort_t sort, const struct sockaddr_in *address);

/// Joins a switch's port as a VM does, waiting for it until `deadline`.
/// - Returns: 0 or -errno.
int way_open_port(way_t *way, sort_t sort, const char *port_path, uint64_t deadline);

/// Bounds the time that `way_receive` waits.
void way_set_patience(way_t *way, uint64_t nanoseconds);

/// Sends a question of `size` bytes, frame or payload, without waiting.
/// - Returns: whether the kernel took it.
bool way_ask(way_t *way, uint64_t number, uint64_t stamp, uint32_t size);

/// Sends the question that was received last, of `size` bytes, back as an answer.
/// - Returns: whether the kernel took it.
bool way_answer(way_t *way, const message_t *question, uint32_t size);

/// Receives a message of the other end. Datagrams of strangers are counted and passed over.
/// - Parameter flags: 0 or MSG_DONTWAIT.
/// - Returns: the datagram's size; -1 if none came in time.
ssize_t way_receive(way_t *way, message_t *message, int flags);

/// Closes the socket and removes its path.
void way_close(way_t *way);

#endif
