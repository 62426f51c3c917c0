// Threads that count, one on each processor.
#define _GNU_SOURCE
#include "spin.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn static void *spin(void *argument) {
    size_t processor = (size_t)(uintptr_t)argument;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(processor, &own);
    struct sched_param parameters = {0};
    if (sched_setaffinity(0, sizeof own, &own) != 0
        || sched_setscheduler(0, SCHED_IDLE, &parameters) != 0) {
        _exit(1);
    }
    // Without a pause instruction: hypervisors take that for an invitation to stop the processor.
    for (volatile uint64_t turns = 0;;) turns = turns + 1;
}

/// A process of its own, so that nobody who is measured shares an address space with whom it takes
/// the processor from.
_Noreturn static void spin_everywhere(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    // Of all that this process may have, wherever whoever started it is kept.
    cpu_set_t allowed;
    memset(&allowed, 0xFF, sizeof allowed);
    if (sched_setaffinity(0, sizeof allowed, &allowed) != 0
        || sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        _exit(1);
    }
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++) {
        pthread_t thread;
        if (!CPU_ISSET(processor, &allowed)) continue;
        if (pthread_create(&thread, NULL, spin, (void *)(uintptr_t)processor) != 0) _exit(1);
    }
    for (;;) pause();
}

pid_t spin_start(void) {
    pid_t process = fork();
    if (process == 0) spin_everywhere();
    return process < 0 ? -errno : process;
}

void spin_end(pid_t process) {
    kill(process, SIGKILL);
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {
    }
}
