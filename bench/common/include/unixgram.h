// Joining a switch's unixgram port the way libkrun does.

#ifndef MEASURING_UNIXGRAM_H
#define MEASURING_UNIXGRAM_H

#include <stdbool.h>
#include <stdint.h>

/// Makes a datagram socket at a path of its own, in the place of whatever stands there.
/// - Returns: its descriptor, which blocks, or -errno.
int unixgram_open(const char *own_path);

/// Connects a socket to a port and, if asked to, greets it with "VFKT".
/// - Returns: 0 or -errno.
int unixgram_connect(int descriptor, const char *port_path, bool greets);

/// The same again and again until `deadline`: the switch may not be there yet, or may not yet have
/// noticed the death of the port's last peer.
/// - Returns: 0, or -errno of the last attempt.
int unixgram_join(int descriptor, const char *port_path, bool greets, uint64_t deadline);

#endif
