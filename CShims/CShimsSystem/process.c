// Threads, clocks and descriptors (process.h).
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int cshims_pidfd_open(int32_t pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int cshims_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int cshims_eventfd_create(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int cshims_eventfd_signal(int eventfd) {
    uint64_t one = 1;
    if (write(eventfd, &one, sizeof one) >= 0 || errno == EAGAIN) return 0;
    return -errno;
}

int cshims_eventfd_drain(int eventfd) {
    uint64_t count;
    if (read(eventfd, &count, sizeof count) >= 0) return 1;
    return errno == EAGAIN ? 0 : -errno;
}

int cshims_descriptor_poll(int descriptor, int16_t events, int32_t milliseconds) {
    const uint64_t start = cshims_clock_monotonic();
    int32_t left = milliseconds;
    for (;;) {
        struct pollfd entry = {.fd = descriptor, .events = events};
        int count = poll(&entry, 1, left);
        if (count > 0) return entry.revents;
        if (count == 0) return 0;
        if (errno != EINTR) return -errno;
        if (milliseconds < 0) continue;
        uint64_t passed = (cshims_clock_monotonic() - start) / 1000000;
        left = passed >= (uint64_t)milliseconds ? 0 : milliseconds - (int32_t)passed;
    }
}

int cshims_descriptor_close(int descriptor) {
    return close(descriptor) < 0 ? -errno : 0;
}

uint64_t cshims_clock_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int cshims_thread_set_affinity(const int32_t *cpus, uint32_t count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t index = 0; index < count; index++) {
        if (cpus[index] < 0 || cpus[index] >= CPU_SETSIZE) return -EINVAL;
        CPU_SET(cpus[index], &set);
    }
    return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int cshims_thread_set_name(const char *name) {
    char cut[16];  // TASK_COMM_LEN
    snprintf(cut, sizeof cut, "%s", name);
    return -pthread_setname_np(pthread_self(), cut);
}

const char *cshims_error_words(int32_t code) {
    // Unlike strerror() it has no buffer that threads would share.
    return strerrordesc_np(code);
}
