// Messages with descriptors between processes of one machine: UNIX sockets of type SOCK_SEQPACKET,
// which keep the borders of messages and tell when the other side has gone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Descriptors that the kernel carries in one message (SCM_MAX_FD in linux/net/scm.h).
enum { CSHIMS_MESSAGE_DESCRIPTORS_MAX = 253 };

/// What came with one message.
struct cshims_message {
    int64_t length;    // the message's own length, whatever the buffer held
    bool is_cut;       // descriptors were left out: more than fit, or than this process may open
    uint32_t count;    // descriptors
    int32_t descriptors[CSHIMS_MESSAGE_DESCRIPTORS_MAX];  // close-on-exec, the caller's to close
};

/// The process at the other end of a connection, as it was when it connected.
struct cshims_credentials {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/// A socket for messages, close-on-exec and non-blocking.
int cshims_message_socket_create(void);

/// Lets processes connect to a socket that has a path.
int cshims_message_socket_listen(int socket, int backlog);

/// Takes a process that has connected: a socket of its own, close-on-exec and non-blocking.
/// -EAGAIN: nobody waits.
int cshims_message_socket_accept(int socket);

/// Who connected (SO_PEERCRED), or who listened when it was connected to.
int cshims_message_socket_peer(int socket, struct cshims_credentials *peer);

/// Sends one message with descriptors, which stay the caller's, without blocking. -EAGAIN: the
/// other side has to read first; -EMSGSIZE: longer than the send buffer; -ETOOMANYREFS: too many
/// descriptors are on their way.
int cshims_message_send(
    int socket, const void *bytes, size_t length, const int32_t *descriptors, uint32_t count);

/// Receives one message without blocking; returns the bytes put into `buffer`. At most
/// `descriptors_max` descriptors are taken over, the kernel closes the rest. -EAGAIN: nothing is
/// waiting. A message of no bytes is the end of the connection.
int64_t cshims_message_receive(
    int socket, void *buffer, size_t capacity, uint32_t descriptors_max,
    struct cshims_message *message);
