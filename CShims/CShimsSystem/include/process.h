// Threads, clocks, the words for an errno, and the descriptors that processes and events are waited
// for with.
#pragma once

#include <stdint.h>

/// A pidfd of `pid`, close-on-exec. It polls readable when the process has ended.
int cshims_pidfd_open(int32_t pid);

/// Sends a signal to the process of a pidfd.
int cshims_pidfd_signal(int pidfd, int signal);

/// An eventfd, close-on-exec and non-blocking, counter 0.
int cshims_eventfd_create(void);

/// Adds one to the counter. A counter already at its limit is as good as signalled.
int cshims_eventfd_signal(int eventfd);

/// Sets the counter to 0; returns 1 if it had been signalled, else 0.
int cshims_eventfd_drain(int eventfd);

/// Waits until one of `events` (poll(2)) is there; returns those that are, 0 when time is up.
/// A negative time waits without limit. Interruptions by signals do not end the wait.
int cshims_descriptor_poll(int descriptor, int16_t events, int32_t milliseconds);

/// Closes a descriptor.
int cshims_descriptor_close(int descriptor);

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t cshims_clock_monotonic(void);

/// Restricts the calling thread to the given CPUs. -EINVAL: none of them exists, or an index is out
/// of range.
int cshims_thread_set_affinity(const int32_t *cpus, uint32_t count);

/// Names the calling thread; the kernel shows at most 15 bytes, the rest is cut off.
int cshims_thread_set_name(const char *name);

/// The C library's words for an errno, never translated; NULL for one that does not exist.
const char *cshims_error_words(int32_t code);
