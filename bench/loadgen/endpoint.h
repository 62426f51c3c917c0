// Attaching to a port as libkrun does.

#ifndef LOADGEN_ENDPOINT_H
#define LOADGEN_ENDPOINT_H

#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

/// Binds the endpoint's own path and connects to the port's, again and again until `deadline`.
/// - Returns: 0, or -errno of the last attempt.
int endpoint_attach(endpoint_t *endpoint, uint64_t deadline);

/// Connects a socket, whose switch went away, to the switch that came in its place.
/// - Returns: 0 or -errno.
int endpoint_rejoin(const endpoint_t *endpoint);

/// The `index`th additional address behind an endpoint.
mac_t endpoint_extra_mac(const endpoint_t *endpoint, uint32_t index);

/// Says whether frames for `destination` are meant for this endpoint: its own, an extra or a group
/// address.
bool endpoint_expects(const endpoint_t *endpoint, const uint8_t *destination);

#endif
