// Descriptors that another process opened: what they are, and what they need to become.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tap.h"

/// What a descriptor is.
struct cshims_descriptor_facts {
    bool is_socket;
    int32_t domain;     // AF_UNIX, ... of a socket
    int32_t type;       // SOCK_DGRAM, ... of a socket
    bool is_connected;  // the socket has a peer
    bool is_listening;  // the socket takes connections
    bool is_tun;        // a device of /dev/net/tun, or a macvtap
    bool is_tap;        // and it carries Ethernet frames
    bool has_packet_information;      // each frame has four bytes before it that say its protocol
    bool has_virtio_header;           // each frame has a virtio header before it
    char device[CSHIMS_TAP_NAME_LENGTH_MAX + 1];  // its name where it was made
};

/// Finds out what a descriptor is. -EBADF: it is not open.
int cshims_descriptor_inspect(int descriptor, struct cshims_descriptor_facts *facts);

/// Makes the descriptor close on exec, and everything that shares its open file non-blocking.
int cshims_descriptor_adopt(int descriptor);

/// Whether somebody has shut the socket down for reading: it would deliver nothing, for ever.
bool cshims_socket_is_shut_down(int socket);

/// Two connected UNIX datagram sockets without names, both close-on-exec.
int cshims_socket_create_unixgram_pair(int32_t pair[2]);

/// A pidfd of the process that made the pair which the socket belongs to (SO_PEERPIDFD, Linux 6.5).
/// -ENOPROTOOPT: the kernel is older; -ENODATA: nobody is known.
int cshims_socket_peer_pidfd(int socket);

/// Lets the descriptor live on when this process runs another program, or not.
int cshims_descriptor_set_inheritable(int descriptor, bool on);

/// A second descriptor of the same open file, at least 3 and close-on-exec.
int cshims_descriptor_duplicate(int descriptor);

/// Makes `number` another descriptor of the same open file, which lives on when this process runs
/// another program.
int cshims_descriptor_place(int descriptor, int number);

/// Whether the descriptor is open and lives on when a program is run: 1 or 0.
int cshims_descriptor_is_inheritable(int descriptor);
