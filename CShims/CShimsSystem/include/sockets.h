// UNIX datagram sockets: what Glibc's overlay does not show to Swift, or shows awkwardly.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Room for the longest name the kernel reports: family, 108 bytes of path, and a closing zero.
enum { CSHIMS_UNIX_ADDRESS_CAPACITY = 112 };

/// A socket address exactly as the kernel gave it; `length` counts the family's two bytes.
struct cshims_unix_address {
    uint32_t length;                              // 0 or 2: the socket has no name
    uint8_t bytes[CSHIMS_UNIX_ADDRESS_CAPACITY];  // struct sockaddr_un
};

/// What came with one datagram.
struct cshims_datagram {
    struct cshims_unix_address source;  // the sender's name
    int64_t length;                     // the datagram's own length, whatever the buffer held
    bool has_credentials;               // the kernel told pid, uid and gid (SO_PASSCRED)
    int32_t pid;                        // 0: of another PID namespace, or queued before SO_PASSCRED
    uint32_t uid;
    uint32_t gid;
    int32_t pidfd;                      // close-on-exec and the caller's to close; -1: none
};

/// A run of bytes; laid out as struct iovec.
struct cshims_slice {
    const void *address;
    uint64_t length;  // bytes
};

/// One frame to send, gathered from two places; an empty head is left out.
struct cshims_gather {
    struct cshims_slice head;
    struct cshims_slice body;
};

/// What sock_diag(7) tells about one UNIX socket of this network namespace.
struct cshims_unix_diagnosis {
    uint32_t inode;
    uint32_t peer_inode;              // 0 with has_peer: the peer has been closed
    uint32_t uid;                     // creator of the socket
    uint32_t receive_queue;           // frames waiting to be read; not told of clients
    bool has_peer;                    // the socket is connected
    bool has_uid;                     // the kernel told the creator (Linux 5.3)
    struct cshims_unix_address name;  // told of clients only
};

/// A UNIX datagram socket, close-on-exec and non-blocking.
int cshims_socket_create_unixgram(void);

/// A UNIX socket of type SOCK_STREAM or SOCK_SEQPACKET, close-on-exec and non-blocking.
int cshims_socket_create(int type);

/// Lets a bound socket take connections, so many waiting at most.
int cshims_socket_listen(int socket, int backlog);

/// Takes the first connection that waits, close-on-exec and non-blocking. -EAGAIN: none waits.
int cshims_socket_accept(int socket);

/// Who connected, or listened when the caller connected (SO_PEERCRED). A pid of 0 is of another PID
/// namespace.
int cshims_socket_peer_credentials(int socket, int32_t *pid, uint32_t *uid);

/// Gives the socket a path. The new file's mode is the one set on the descriptor before by
/// `cshims_socket_set_birth_mode`, less the umask. -ENAMETOOLONG: more than 107 bytes.
int cshims_socket_bind_path(int socket, const char *path);

/// Sets the permission bits that bind() will create the socket's file with (fchmod(2) of a socket
/// not yet bound; Linux, net/unix/af_unix.c: unix_bind_bsd).
int cshims_socket_set_birth_mode(int socket, uint32_t mode);

/// Connects to a name as received; a name of 111 bytes loses its closing zero, as connect()
/// demands.
int cshims_socket_connect(int socket, const struct cshims_unix_address *address);

/// Connects to a path. -ENAMETOOLONG: more than 107 bytes.
int cshims_socket_connect_path(int socket, const char *path);

/// Dissolves the connection. The kernel throws the receive queue away with it.
int cshims_socket_disconnect(int socket);

/// Sets SO_SNDBUF to `value` and returns what the kernel made of it: twice the value, at most twice
/// net.core.wmem_max.
int64_t cshims_socket_set_send_buffer(int socket, int64_t value);

/// The effective SO_SNDBUF in bytes.
int64_t cshims_socket_send_buffer(int socket);

/// SO_PASSCRED: each datagram received afterwards names its sender.
int cshims_socket_set_pass_credentials(int socket, bool on);

/// SO_PASSPIDFD (Linux 6.5): each datagram received afterwards installs a pidfd of its sender.
/// -ENOPROTOOPT: the kernel is older.
int cshims_socket_set_pass_pidfd(int socket, bool on);

/// SO_PASSRIGHTS (Linux 6.16): off, senders of descriptors are refused. -ENOPROTOOPT: older kernel.
int cshims_socket_set_pass_rights(int socket, bool on);

/// Receives one datagram without blocking; returns the bytes put into `buffer` (0 is a datagram of
/// no bytes). Descriptors that the peer sent along are closed. -EAGAIN: nothing is waiting.
int64_t cshims_socket_receive(
    int socket, void *buffer, size_t capacity, struct cshims_datagram *datagram);

/// Sends datagrams in order without blocking, and stops at the first refusal. Returns how many were
/// sent, or the -errno of the first one.
int cshims_socket_send_batch(int socket, const struct cshims_gather *frames, uint32_t count);

/// Receives from a stream without blocking, all of the first place before the second. Returns the
/// number of bytes, 0 at the end of the stream, or -errno.
ssize_t cshims_stream_receive(int socket, struct cshims_slice first, struct cshims_slice second);

/// Sends pieces one behind the other without blocking. Returns the number of bytes that found room,
/// or -errno if none did. At most 1024 pieces.
ssize_t cshims_stream_send(int socket, const struct cshims_slice *pieces, uint32_t count);

/// Sends one datagram to a name as received, without blocking. -EPERM: it belongs to a socket with
/// another peer.
int cshims_socket_send_to(
    int socket, const void *bytes, size_t length, const struct cshims_unix_address *address);

/// Whether the peer of a connected socket has closed its end, or its half, and nothing is left to
/// read. False where that cannot be told.
bool cshims_socket_has_ended(int socket);

/// Bytes charged to the socket for datagrams that its peer has not read (SIOCOUTQ).
int cshims_socket_outstanding(int socket);

/// The name of the socket (getsockname) or of its peer (getpeername; -ENOTCONN without one).
int cshims_socket_name(int socket, struct cshims_unix_address *address);
int cshims_socket_peer_name(int socket, struct cshims_unix_address *address);

/// Asks sock_diag about a socket of this process. -ENOENT: the kernel has no unix_diag.
int cshims_socket_diagnose(int descriptor, struct cshims_unix_diagnosis *diagnosis);

/// Asks sock_diag about any UNIX socket of this network namespace. -ENOENT: there is none of that
/// number, or the kernel has no unix_diag.
int cshims_unix_diagnose(uint32_t inode, struct cshims_unix_diagnosis *diagnosis);

/// Looks through the UNIX sockets of this network namespace for those that are connected to the one
/// of that number. Returns how many there are, -errno if the kernel does not tell; the first
/// `capacity` of them are in `clients`.
int cshims_unix_find_clients(
    uint32_t inode, struct cshims_unix_diagnosis *clients, uint32_t capacity);
