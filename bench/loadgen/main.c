// loadgen plays VMs on unixgram ports and measures what passes between them.
//
// Theory of operation. A plan (plan.h) names endpoints and flows. All endpoints attach as libkrun
// does (endpoint.h) and announce themselves (announce.h). Then a second process is forked that
// sends, one thread an endpoint (sender.h), while this one receives (receiver.h): so the CPU time
// of both sides is known apart, and stopping this process stops the VMs' reading only. When the
// senders are done and nothing more is under way, the counts of both are printed as one JSON object
// (report.h).

#define _GNU_SOURCE
#include "announce.h"
#include "clock.h"
#include "endpoint.h"
#include "frame.h"
#include "receiver.h"
#include "report.h"
#include "run.h"
#include "sender.h"

#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    POLL_INTERVAL = 5
        * NANOSECONDS_PER_MILLISECOND, ///< Between looks at what the other threads do.
    START_DELAY = 2
        * NANOSECONDS_PER_MILLISECOND, ///< From the decision to start to the first frame.
};

/// The sending processes or threads.
typedef struct {
    pid_t process;  ///< 0: threads of this process, or nobody.
    int start_pipe; ///< Written to when the senders shall begin.
    pthread_t *threads;
    int thread_count;
} senders_t;

/// What a sending thread is told.
typedef struct {
    run_t *run;
    int from;
} sender_order_t;

static sending_t *shared; ///< For the signal handler.

static void stop(int signal_number) {
    (void)signal_number;
    atomic_store(&shared->stop, true);
}

static void prepare(run_t *run) {
    frame_prepare();
    void *memory =
        mmap(NULL, sizeof(sending_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run->tallies = calloc((size_t)run->plan.endpoint_count, sizeof(endpoint_tally_t));
    if (memory == MAP_FAILED || run->tallies == NULL) abort();
    run->sending = shared = memory;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool attach_all(run_t *run, uint64_t deadline) {
    for (int i = 0; i < run->plan.endpoint_count; i++) {
        endpoint_t *endpoint = &run->plan.endpoints[i];
        int result = endpoint_attach(endpoint, deadline);
        if (result != 0) {
            fprintf(
                stderr, "loadgen: %s: %s: %s\n", endpoint->name, endpoint->port_path,
                strerror(-result));
            return false;
        }
        if (endpoint->sends_magic) run->tallies[i].magic_sent++;
    }
    return true;
}

static void detach_all(run_t *run) {
    for (int i = 0; i < run->plan.endpoint_count; i++) unlink(run->plan.endpoints[i].own_path);
}

static void measure_cpu(uint64_t *user, uint64_t *system) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *user = (uint64_t)usage.ru_utime.tv_sec * NANOSECONDS_PER_SECOND
            + (uint64_t)usage.ru_utime.tv_usec * NANOSECONDS_PER_MICROSECOND;
    *system = (uint64_t)usage.ru_stime.tv_sec * NANOSECONDS_PER_SECOND
              + (uint64_t)usage.ru_stime.tv_usec * NANOSECONDS_PER_MICROSECOND;
}

static void *sender_thread(void *argument) {
    sender_order_t *order = argument;
    sender_run(order->run, order->from);
    free(order);
    return NULL;
}

static void start_threads(run_t *run, senders_t *senders) {
    senders->threads = calloc((size_t)run->plan.endpoint_count, sizeof(pthread_t));
    if (senders->threads == NULL) abort();
    for (int from = 0; from < run->plan.endpoint_count; from++) {
        bool sends = false;
        for (int i = 0; i < run->plan.flow_count; i++) sends |= run->plan.flows[i].from == from;
        if (!sends) continue;
        sender_order_t *order = malloc(sizeof *order);
        if (order == NULL) abort();
        *order = (sender_order_t){run, from};
        if (pthread_create(&senders->threads[senders->thread_count++], NULL, sender_thread, order)
            != 0) {
            abort();
        }
    }
}

static void join_threads(senders_t *senders) {
    for (int i = 0; i < senders->thread_count; i++) pthread_join(senders->threads[i], NULL);
    free(senders->threads);
}

/// The sending process: waits for the start, sends, and leaves its counts in the shared memory.
static _Noreturn void send_in_child(run_t *run, int start_pipe) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char byte;
    while (read(start_pipe, &byte, 1) < 0 && errno == EINTR && !atomic_load(&run->sending->stop)) {
    }
    senders_t senders = {0};
    start_threads(run, &senders);
    join_threads(&senders);
    measure_cpu(&run->sending->cpu_user, &run->sending->cpu_system);
    _exit(0);
}

/// Forks before any thread exists in this process.
static senders_t fork_senders(run_t *run) {
    senders_t senders = {.start_pipe = -1};
    if (run->plan.flow_count == 0 || run->plan.one_process) return senders;
    int ends[2];
    if (pipe(ends) != 0) abort();
    senders.process = fork();
    if (senders.process < 0) abort();
    if (senders.process == 0) {
        close(ends[1]);
        send_in_child(run, ends[0]);
    }
    close(ends[0]);
    senders.start_pipe = ends[1];
    return senders;
}

static void hold(const plan_t *plan) {
    if (plan->reports_ready) {
        printf("{\"ready\": true, \"pid\": %d}\n", (int)getpid());
        fflush(stdout);
    }
    if (!plan->holds) return;
    char byte = 0;
    ssize_t length;
    do {
        length = read(STDIN_FILENO, &byte, 1);
    } while ((length == 1 && byte != '\n')
             || (length < 0 && errno == EINTR && !atomic_load(&shared->stop)));
}

static void start_senders(run_t *run, senders_t *senders) {
    run->started = clock_now() + START_DELAY;
    atomic_store(&run->sending->start, run->started);
    if (senders->process != 0) {
        close(senders->start_pipe);
    } else if (run->plan.flow_count > 0) {
        start_threads(run, senders);
    }
}

/// Waits for the senders or, where there are none, for a signal or the limit.
static void await_senders(run_t *run, senders_t *senders) {
    if (run->plan.flow_count == 0) {
        uint64_t limit = run->plan.run_limit;
        while (!atomic_load(&run->sending->stop)
               && (limit == 0 || clock_now() < run->started + limit)) {
            clock_sleep_until(clock_now() + POLL_INTERVAL);
        }
    } else if (senders->process == 0) {
        join_threads(senders);
    } else {
        while (waitpid(senders->process, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    run->finished = clock_now();
}

/// Whether frames of an endpoint wait for the switch, or frames for it wait for its reader.
static bool has_waiting_frames(const endpoint_t *endpoint) {
    int sent = 0, came = 0;
    ioctl(endpoint->descriptor, SIOCOUTQ, &sent);
    if (endpoint->reading != READ_NEVER) ioctl(endpoint->descriptor, SIOCINQ, &came);
    return sent > 0 || came > 0;
}

/// Waits until nothing has come, and nothing has waited in a socket, for `quiet_time`: on a busy
/// machine a reader may itself wait for longer than that.
///
/// Looks are counted, and not the time: where the whole machine has stood still, all of the time is
/// over at the first look, and the switch has had none of it.
static void drain(const run_t *run, const readers_t *readers) {
    uint64_t last = 0, quiet_looks = 0;
    do {
        clock_sleep_until(clock_now() + POLL_INTERVAL);
        uint64_t read = readers_last_frame(readers);
        bool is_quiet = read == last;
        for (int i = 0; i < run->plan.endpoint_count; i++) {
            if (has_waiting_frames(&run->plan.endpoints[i])) is_quiet = false;
        }
        last = read;
        quiet_looks = is_quiet ? quiet_looks + 1 : 0;
    } while (quiet_looks * POLL_INTERVAL < run->plan.quiet_time
             && clock_now() < run->finished + run->plan.drain_limit);
}

int main(int argc, char **argv) {
    static run_t run;
    plan_read(&run.plan, argc, argv);
    prepare(&run);
    uint64_t deadline = clock_now() + run.plan.await_limit;
    bool is_ready = attach_all(&run, deadline) && announce(&run, deadline);
    if (is_ready) {
        senders_t senders = fork_senders(&run);
        readers_t readers = readers_start(&run);
        hold(&run.plan);
        start_senders(&run, &senders);
        await_senders(&run, &senders);
        drain(&run, &readers);
        readers_end(&run, &readers);
        measure_cpu(&run.cpu_user, &run.cpu_system);
        report_print(&run);
    }
    detach_all(&run);
    return is_ready ? 0 : 1;
}
