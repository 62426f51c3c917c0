// Endpoints and flows as described by arguments or a scenario.
#define _GNU_SOURCE
#include "plan.h"

#include "clock.h"
#include "frame.h"
#include "usage.h"
#include "words.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const kind_names[KIND_COUNT] = {
    [KIND_MEASURED] = "measured",
    [KIND_EMPTY] = "empty",
    [KIND_ONE] = "one",
    [KIND_THIRTEEN] = "thirteen",
    [KIND_OVERSIZE] = "oversize",
    [KIND_ETHERTYPE] = "ethertype",
    [KIND_GROUPSOURCE] = "groupsource",
    [KIND_ZEROSOURCE] = "zerosource",
    [KIND_RESERVED] = "reserved",
    [KIND_MACFLOOD] = "macflood",
    [KIND_MAGIC] = "magic",
    [KIND_FUZZ] = "fuzz",
};

enum { SEND_BUFFER_OF_LIBKRUN = 7 << 20, HOSTILE_COUNT = 1000, OVERSIZE_LENGTH = 9014 };

static kind_t parse_kind(const char *value) {
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        if (strcmp(value, kind_names[kind]) == 0) return (kind_t)kind;
    }
    words_refuse("kind=%s: unknown; see --help", value);
}

static void parse_reading(endpoint_t *endpoint, const char *value) {
    if (strcmp(value, "always") == 0) {
        endpoint->reading = READ_ALWAYS;
    } else if (strcmp(value, "never") == 0) {
        endpoint->reading = READ_NEVER;
    } else if (strncmp(value, "slow:", 5) == 0) {
        endpoint->reading = READ_SLOWLY;
        endpoint->read_pause = (uint32_t)words_number("read", value + 5, 1, 10000000);
    } else {
        words_refuse("read=%s: always, never or slow:MICROSECONDS is wanted", value);
    }
}

static shape_t parse_shape(const char *value) {
    if (strcmp(value, "ethernet") == 0) return SHAPE_ETHERNET;
    if (strcmp(value, "tcp") == 0) return SHAPE_TCP;
    if (strcmp(value, "tcp-partial") == 0) return SHAPE_TCP_PARTIAL;
    words_refuse("shape=%s: ethernet, tcp or tcp-partial is wanted", value);
}

/// Names and addresses that hold unless the plan says otherwise.
static void set_defaults(endpoint_t *endpoint, int index) {
    unsigned pid = (unsigned)getpid();
    snprintf(endpoint->name, sizeof endpoint->name, "e%d", index);
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || *directory == '\0' || strlen(directory) > 60) directory = "/tmp";
    snprintf(
        endpoint->own_path, sizeof endpoint->own_path, "%s/loadgen-%u-%d.sock", directory, pid,
        index);
    endpoint->mac = (mac_t){
        {0x02, 0x52, (uint8_t)(pid >> 8), (uint8_t)pid, (uint8_t)(index >> 8), (uint8_t)index}};
    endpoint->asked_send_buffer = SEND_BUFFER_OF_LIBKRUN;
    endpoint->descriptor = -1;
}

static void parse_endpoint(plan_t *plan, char *text) {
    if (plan->endpoint_count == ENDPOINT_LIMIT)
        words_refuse("more than %d endpoints", ENDPOINT_LIMIT);
    endpoint_t *endpoint = &plan->endpoints[plan->endpoint_count];
    set_defaults(endpoint, plan->endpoint_count);
    plan->endpoint_count++;
    char *key, *value;
    while (words_next(&text, &key, &value)) {
        if (strcmp(key, "name") == 0) {
            words_copy(key, value, endpoint->name, sizeof endpoint->name);
        } else if (strcmp(key, "port") == 0) {
            words_copy(key, value, endpoint->port_path, sizeof endpoint->port_path);
        } else if (strcmp(key, "own") == 0) {
            words_copy(key, value, endpoint->own_path, sizeof endpoint->own_path);
        } else if (strcmp(key, "mac") == 0) {
            if (!words_mac(value, &endpoint->mac)) words_refuse("mac=%s: no MAC address", value);
        } else if (strcmp(key, "magic") == 0) {
            endpoint->sends_magic = words_truth(key, value);
        } else if (strcmp(key, "stream") == 0) {
            endpoint->is_stream = words_truth(key, value);
        } else if (strcmp(key, "rejoin") == 0) {
            endpoint->rejoins = words_truth(key, value);
        } else if (strcmp(key, "send-buffer") == 0) {
            endpoint->asked_send_buffer = (int)words_number(key, value, 1, 1 << 30);
        } else if (strcmp(key, "extra-macs") == 0) {
            endpoint->extra_macs = (uint32_t)words_number(key, value, 0, EXTRA_MAC_LIMIT);
        } else if (strcmp(key, "read") == 0) {
            parse_reading(endpoint, value);
        } else if (strcmp(key, "batch") == 0) {
            endpoint->read_batch = (uint32_t)words_number(key, value, 1, 64);
        } else {
            words_refuse("endpoint: unknown key '%s'", key);
        }
    }
    if (endpoint->port_path[0] == '\0')
        words_refuse("endpoint %s: port=PATH is missing", endpoint->name);
}

static int find_endpoint(const plan_t *plan, const char *name) {
    for (int i = 0; i < plan->endpoint_count; i++) {
        if (strcmp(plan->endpoints[i].name, name) == 0) return i;
    }
    return -1;
}

static void parse_destination(const plan_t *plan, flow_t *flow, const char *value) {
    flow->to = find_endpoint(plan, value);
    if (flow->to >= 0) {
        flow->destination = plan->endpoints[flow->to].mac;
    } else if (strcmp(value, "broadcast") == 0) {
        memset(flow->destination.bytes, 0xFF, MAC_LENGTH);
    } else if (!words_mac(value, &flow->destination)) {
        words_refuse(
            "to=%s: neither an endpoint named before, nor a MAC address, nor broadcast", value);
    }
}

/// Refuses flows that make no sense, and gives hostile ones a harmless destination: their own
/// sender, so that a frame which the switch believes is filtered and troubles nobody.
static void complete_flow(plan_t *plan, flow_t *flow, bool has_destination) {
    if (flow->from < 0) words_refuse("flow %s: from=ENDPOINT is missing", flow->name);
    if (!has_destination) {
        if (flow->kind == KIND_MEASURED) words_refuse("flow %s: to=... is missing", flow->name);
        flow->destination = plan->endpoints[flow->from].mac;
    }
    if (flow->kind != KIND_MEASURED && flow->count == 0 && flow->duration == 0) {
        flow->count = HOSTILE_COUNT;
    }
    if (flow->count == 0 && flow->duration == 0) {
        words_refuse("flow %s: count=N or duration=SECONDS is missing", flow->name);
    }
    if (flow->kind == KIND_OVERSIZE && flow->length <= 60) flow->length = OVERSIZE_LENGTH;
    if (flow->spreads && (flow->to < 0 || plan->endpoints[flow->to].extra_macs == 0)) {
        words_refuse("flow %s: spread=yes needs an endpoint with extra-macs", flow->name);
    }
    if (flow->shape != SHAPE_ETHERNET
        && (flow->length < FRAME_TCP_HEADER_LENGTH || flow->length > FRAME_TCP_LENGTH_MAX)) {
        words_refuse(
            "flow %s: a TCP-shaped frame has %d to %d bytes", flow->name, FRAME_TCP_HEADER_LENGTH,
            FRAME_TCP_LENGTH_MAX);
    }
    for (int i = 0; i < plan->flow_count - 1; i++) {
        if (plan->flows[i].id == flow->id)
            words_refuse("flow %s: id=%u stands twice", flow->name, flow->id);
    }
}

static void parse_flow(plan_t *plan, char *text) {
    if (plan->flow_count == FLOW_LIMIT) words_refuse("more than %d flows", FLOW_LIMIT);
    flow_t *flow = &plan->flows[plan->flow_count];
    *flow =
        (flow_t){.id = (uint16_t)plan->flow_count, .from = -1, .to = -1, .length = 60, .seed = 1};
    snprintf(flow->name, sizeof flow->name, "f%d", plan->flow_count);
    plan->flow_count++;
    bool has_destination = false;
    char *key, *value;
    while (words_next(&text, &key, &value)) {
        if (strcmp(key, "id") == 0) {
            flow->id = (uint16_t)words_number(key, value, 0, FLOW_LIMIT - 1);
        } else if (strcmp(key, "name") == 0) {
            words_copy(key, value, flow->name, sizeof flow->name);
        } else if (strcmp(key, "from") == 0) {
            flow->from = find_endpoint(plan, value);
            if (flow->from < 0) words_refuse("from=%s: no endpoint named before", value);
        } else if (strcmp(key, "to") == 0) {
            parse_destination(plan, flow, value);
            has_destination = true;
        } else if (strcmp(key, "kind") == 0) {
            flow->kind = parse_kind(value);
        } else if (strcmp(key, "shape") == 0) {
            flow->shape = parse_shape(value);
        } else if (strcmp(key, "size") == 0) {
            flow->length =
                (uint32_t)words_number(key, value, FRAME_HEADER_LENGTH, FRAME_LENGTH_MAX);
        } else if (strcmp(key, "rate") == 0) {
            flow->rate =
                strcmp(value, "max") == 0 ? 0 : (double)words_number(key, value, 1, 100000000);
        } else if (strcmp(key, "count") == 0) {
            flow->count = words_number(key, value, 1, UINT64_MAX);
        } else if (strcmp(key, "start") == 0) {
            flow->start = words_seconds(key, value);
        } else if (strcmp(key, "duration") == 0) {
            flow->duration = words_seconds(key, value);
        } else if (strcmp(key, "spread") == 0) {
            flow->spreads = words_truth(key, value);
        } else if (strcmp(key, "check") == 0) {
            if (strcmp(value, "full") != 0 && strcmp(value, "samples") != 0) {
                words_refuse("check=%s: samples or full is wanted", value);
            }
            flow->check = strcmp(value, "full") == 0 ? CHECK_FULL : CHECK_SAMPLES;
        } else if (strcmp(key, "when-full") == 0) {
            if (strcmp(value, "drop") != 0 && strcmp(value, "wait") != 0) {
                words_refuse("when-full=%s: wait or drop is wanted", value);
            }
            flow->drops_when_full = strcmp(value, "drop") == 0;
        } else if (strcmp(key, "seed") == 0) {
            flow->seed = words_number(key, value, 0, UINT64_MAX);
        } else {
            words_refuse("flow: unknown key '%s'", key);
        }
    }
    complete_flow(plan, flow, has_destination);
}

/// Reads lines until the end of the file or a line "end", behind which standard input stays usable.
static void parse_scenario(plan_t *plan, const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) words_refuse("%s: %s", path, strerror(errno));
    // Unbuffered, so that bytes behind "end" are left to whoever reads the descriptor next.
    setvbuf(file, NULL, _IONBF, 0);
    char line[1024];
    while (fgets(line, sizeof line, file) != NULL) {
        char *text = line + strspn(line, " \t\r\n");
        if (*text == '\0' || *text == '#') continue;
        char *word = strsep(&text, " \t\r\n");
        if (strcmp(word, "end") == 0) break;
        if (text == NULL) text = word + strlen(word);
        if (strcmp(word, "endpoint") == 0) {
            parse_endpoint(plan, text);
        } else if (strcmp(word, "flow") == 0) {
            parse_flow(plan, text);
        } else {
            words_refuse("%s: a line begins with endpoint, flow or end, not with '%s'", path, word);
        }
    }
    if (file != stdin) fclose(file);
}

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"flow", required_argument, NULL, 'f'},
    {"scenario", required_argument, NULL, 's'},
    {"one-process", no_argument, NULL, '1'},
    {"ready", no_argument, NULL, 'r'},
    {"hold", no_argument, NULL, 'h'},
    {"no-hearing", no_argument, NULL, 'n'},
    {"await-peer", required_argument, NULL, 'a'},
    {"limit", required_argument, NULL, 'l'},
    {"quiet", required_argument, NULL, 'q'},
    {"drain", required_argument, NULL, 'd'},
    {"bin", required_argument, NULL, 'b'},
    {"frame-max", required_argument, NULL, 'm'},
    {"help", no_argument, NULL, 'H'},
    {NULL, 0, NULL, 0},
};

static void parse_option(plan_t *plan, int option, char *value) {
    switch (option) {
    case 'e': parse_endpoint(plan, value); break;
    case 'f': parse_flow(plan, value); break;
    case 's': parse_scenario(plan, value); break;
    case '1': plan->one_process = true; break;
    case 'r': plan->reports_ready = true; break;
    case 'h': plan->holds = true; break;
    case 'n': plan->hears_nobody = true; break;
    case 'a': plan->await_limit = words_seconds("--await-peer", value); break;
    case 'l': plan->run_limit = words_seconds("--limit", value); break;
    case 'q': plan->quiet_time = words_seconds("--quiet", value); break;
    case 'd': plan->drain_limit = words_seconds("--drain", value); break;
    case 'b': plan->bin_width = words_seconds("--bin", value); break;
    case 'm':
        plan->frame_max = (uint32_t)words_number("--frame-max", value, 60, FRAME_LENGTH_MAX);
        break;
    case 'H': usage_print(); exit(0);
    default: exit(2); // getopt_long has said what is wrong.
    }
}

void plan_read(plan_t *plan, int argc, char **argv) {
    *plan = (plan_t){
        .endpoints = calloc(ENDPOINT_LIMIT, sizeof(endpoint_t)),
        .flows = calloc(FLOW_LIMIT, sizeof(flow_t)),
        .await_limit = 5 * NANOSECONDS_PER_SECOND,
        .quiet_time = 200 * NANOSECONDS_PER_MILLISECOND,
        .drain_limit = 10 * NANOSECONDS_PER_SECOND,
        .bin_width = 100 * NANOSECONDS_PER_MILLISECOND,
    };
    if (plan->endpoints == NULL || plan->flows == NULL) words_refuse("out of memory");
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        parse_option(plan, option, optarg);
    }
    if (optind < argc) words_refuse("'%s' was not understood; see --help", argv[optind]);
    if (plan->endpoint_count == 0) words_refuse("no endpoint; see --help");
    if (plan->bin_width == 0) words_refuse("--bin must not be 0");
    if (plan->frame_max == 0) {
        // A process that only receives cannot know what comes; one that sends knows its own frames.
        plan->frame_max = plan->flow_count == 0 ? FRAME_LENGTH_MAX : 1518;
        for (int i = 0; i < plan->flow_count; i++) {
            uint32_t length = plan->flows[i].length;
            if (length > plan->frame_max) plan->frame_max = length;
        }
    }
}
