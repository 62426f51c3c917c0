// pingpong measures how long a question and its answer take, over UDP or between two ports of a
// switch. Between ports nothing stands between it and the switch: no TAP, no stand-in for a VM.
//
// One process asks (ask.h) and another one answers (answer.h), or a thread of the same. The result
// is one JSON object.

#define _GNU_SOURCE
#include "answer.h"
#include "ask.h"
#include "clock.h"
#include "spin.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PORT_LIMIT = 2 };

typedef struct {
    plan_t plan;
    struct sockaddr_in address; ///< Of UDP.
    const char *ports[PORT_LIMIT];
    int port_count; ///< 0: UDP.
    bool answers;
    bool is_warm;
} order_t;

static atomic_bool is_stopped;

static void stop(int signal_number) {
    (void)signal_number;
    atomic_store(&is_stopped, true);
}

_Noreturn static void refuse(void) {
    fputs(
        "pingpong measures how long a question and its answer take.\n"
        "\n"
        "  pingpong --udp ADDRESS:PORT --answer      answers over UDP until SIGTERM\n"
        "  pingpong --udp ADDRESS:PORT               asks\n"
        "  pingpong --port PATH --answer             answers at a switch's unixgram port\n"
        "  pingpong --port PATH                      asks at another one\n"
        "  pingpong --port PATH --port PATH          asks at the first, answers at the second\n"
        "\n"
        "  --duration S        seconds to ask (1)\n"
        "  --lead S            seconds of the same before, not counted (0.05)\n"
        "  --rate N            questions a second, answered or not (0: each after an answer)\n"
        "  --size BYTES        of a frame, or of a payload of UDP (64)\n"
        "  --patience S        wait so long for an answer (0.5)\n"
        "  --await-peer S      wait so long for the other end (10)\n"
        "  --warm              keep the processors from halting, by threads of SCHED_IDLE\n"
        "\n"
        "Prints one JSON object. Exit code: 0 done, 1 failed while running, 2 wrong usage.\n",
        stderr);
    exit(2);
}

_Noreturn static void fail(const char *what, int result) {
    fprintf(stderr, "pingpong: %s: %s\n", what, strerror(-result));
    exit(1);
}

static double number(const char *text, double low, double high) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        fprintf(stderr, "pingpong: %s: a number from %g to %g is wanted\n", text, low, high);
        exit(2);
    }
    return value;
}

static uint64_t seconds(const char *text) {
    return (uint64_t)(number(text, 0, 1e6) * (double)NANOSECONDS_PER_SECOND);
}

static struct sockaddr_in address(char *text) {
    struct sockaddr_in result = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (colon == NULL) refuse();
    *colon = '\0';
    if (inet_pton(AF_INET, text, &result.sin_addr) != 1) refuse();
    result.sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
    return result;
}

static void add_port(order_t *order, const char *path) {
    if (order->port_count == PORT_LIMIT) refuse();
    order->ports[order->port_count++] = path;
}

static order_t read_options(int argc, char **argv) {
    static const struct option options[] = {
        {"udp", required_argument, NULL, 'u'},
        {"port", required_argument, NULL, 'p'},
        {"answer", no_argument, NULL, 'a'},
        {"warm", no_argument, NULL, 'w'},
        {"duration", required_argument, NULL, 'd'},
        {"lead", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'r'},
        {"size", required_argument, NULL, 's'},
        {"patience", required_argument, NULL, 'i'},
        {"await-peer", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    order_t order = {
        .plan = {
            .size = 64,
            .duration = NANOSECONDS_PER_SECOND,
            .lead = 50 * NANOSECONDS_PER_MILLISECOND,
            .patience = 500 * NANOSECONDS_PER_MILLISECOND,
            .await_limit = 10 * NANOSECONDS_PER_SECOND,
        }};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'u': order.address = address(optarg); break;
        case 'p': add_port(&order, optarg); break;
        case 'a': order.answers = true; break;
        case 'w': order.is_warm = true; break;
        case 'd': order.plan.duration = seconds(optarg); break;
        case 'l': order.plan.lead = seconds(optarg); break;
        case 'r': order.plan.rate = number(optarg, 0, 1e6); break;
        case 's': order.plan.size = (uint32_t)number(optarg, LENGTH_MIN, LENGTH_MAX); break;
        case 'i': order.plan.patience = seconds(optarg); break;
        case 't': order.plan.await_limit = seconds(optarg); break;
        default: refuse();
        }
    }
    bool has_udp = order.address.sin_family == AF_INET;
    bool is_good = optind == argc && has_udp == (order.port_count == 0)
                   && !(order.answers && (order.port_count == 2 || order.is_warm));
    if (!is_good) refuse();
    return order;
}

static void open_way(const order_t *order, way_t *way, sort_t sort, int port) {
    if (order->port_count == 0) {
        int result = way_open_udp(way, sort, &order->address);
        if (result != 0) fail("UDP", result);
    } else {
        uint64_t deadline = clock_now() + order->plan.await_limit;
        int result = way_open_port(way, sort, order->ports[port], deadline);
        if (result != 0) fail(order->ports[port], result);
    }
}

static double cpu_seconds(int who) {
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_tally(const tally_t *tally, const way_t *way) {
    const histogram_t *rtt = &tally->rtt;
    printf(
        "{\"seconds\": %.6f, \"asked\": %" PRIu64 ", \"answered\": %" PRIu64,
        (double)(tally->finished - tally->started) / 1e9, tally->asked, tally->answered);
    printf(
        ", \"refused\": %" PRIu64 ", \"missed\": %" PRIu64 ", \"disordered\": %" PRIu64,
        tally->refused, tally->missed, tally->disordered);
    printf(
        ", \"strangers\": %" PRIu64 ", \"lag_max_ns\": %" PRIu64, way->strangers, tally->lag_max);
    printf(
        ", \"cpu_seconds\": {\"own\": %.6f, \"spinners\": %.6f}", cpu_seconds(RUSAGE_SELF),
        cpu_seconds(RUSAGE_CHILDREN));
    printf(", \"rtt_ns\": {\"mean\": %" PRIu64, rtt->count > 0 ? rtt->sum / rtt->count : 0);
    static const char *const percentiles[] = {"50", "90", "99", "99.9"};
    for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++) {
        printf(
            ", \"p%s\": %" PRIu64, percentiles[i],
            histogram_percentile(rtt, strtod(percentiles[i], NULL) / 100));
    }
    printf(", \"max\": %" PRIu64 "}}\n", rtt->max);
}

static void *answer_beside(void *way) {
    answer_run(way, &is_stopped);
    return NULL;
}

static int ask_and_report(const order_t *order) {
    static way_t way, beside;
    static tally_t tally;
    pid_t spinners = 0;
    // Forked before any thread exists in this process.
    if (order->is_warm && (spinners = spin_start()) < 0) fail("starting spinners", spinners);
    pthread_t answerer;
    if (order->port_count == 2) {
        open_way(order, &beside, SORT_ANSWER, 1);
        if (pthread_create(&answerer, NULL, answer_beside, &beside) != 0) abort();
    }
    open_way(order, &way, SORT_QUESTION, 0);
    bool was_answered = ask_run(&way, &order->plan, &is_stopped, &tally);
    if (spinners > 0) spin_end(spinners);
    if (order->port_count == 2) {
        atomic_store(&is_stopped, true);
        pthread_join(answerer, NULL);
        way_close(&beside);
    }
    way_close(&way);
    if (was_answered) {
        print_tally(&tally, &way);
    } else {
        fputs("pingpong: nobody answered\n", stderr);
    }
    return was_answered ? 0 : 1;
}

static int answer_and_report(const order_t *order) {
    static way_t way;
    open_way(order, &way, SORT_ANSWER, 0);
    uint64_t answered = answer_run(&way, &is_stopped);
    way_close(&way);
    printf(
        "{\"answered\": %" PRIu64 ", \"strangers\": %" PRIu64 ", \"cpu_seconds\": %.6f}\n",
        answered, way.strangers, cpu_seconds(RUSAGE_SELF));
    return 0;
}

int main(int argc, char **argv) {
    order_t order = read_options(argc, argv);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return order.answers ? answer_and_report(&order) : ask_and_report(&order);
}
