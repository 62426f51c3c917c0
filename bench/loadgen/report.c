// The report as one JSON object on standard output.
#include "report.h"

#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_string(const char *text) {
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        } else if (*at < 0x20) {
            printf("\\u%04x", *at);
        } else {
            putchar(*at);
        }
    }
    putchar('"');
}

/// Prints `, "key": value`.
static void print_count(const char *key, uint64_t value) {
    printf(", \"%s\": %" PRIu64, key, value);
}

static void print_seconds(const char *key, uint64_t nanoseconds) {
    printf(", \"%s\": %.6f", key, (double)nanoseconds / 1e9);
}

static void print_sent(const run_t *run, const flow_t *flow) {
    const flow_sent_t *sent = &run->sending->flows[flow->id];
    printf("{\"id\": %u, \"name\": ", flow->id);
    print_string(flow->name);
    printf(", \"from\": ");
    print_string(run->plan.endpoints[flow->from].name);
    printf(", \"kind\": \"%s\", \"size\": %" PRIu32, kind_names[flow->kind], flow->length);
    print_count("offered", sent->offered);
    print_count("sent", sent->sent);
    print_count("sent_bytes", sent->sent_bytes);
    print_count("refused", sent->refused);
    print_count("dropped", sent->dropped);
    print_count("missed", sent->missed);
    print_count("errors", sent->errors);
    if (sent->errors > 0) {
        printf(", \"last_error\": ");
        print_string(strerror(sent->last_error));
    }
    print_seconds("seconds", sent->last > sent->first ? sent->last - sent->first : 0);
    print_seconds("waited_seconds", sent->wait_nanoseconds);
    print_count("lag_max_ns", sent->lag_max);
    printf("}");
}

static void print_bins(const flow_received_t *record) {
    int used = BIN_LIMIT;
    while (used > 0 && record->bins[used - 1] == 0) used--;
    printf(", \"bins\": [");
    for (int i = 0; i < used; i++) printf("%s%" PRIu32, i > 0 ? ", " : "", record->bins[i]);
    printf("]");
}

static const flow_t *flow_with(const plan_t *plan, int id) {
    for (int i = 0; i < plan->flow_count; i++) {
        if (plan->flows[i].id == id) return &plan->flows[i];
    }
    return NULL;
}

/// Frames that were sent and never came. For a flow of another process only gaps are known.
static uint64_t lost(const run_t *run, int id, const flow_received_t *record) {
    const flow_t *flow = flow_with(&run->plan, id);
    uint64_t sent = flow != NULL ? run->sending->flows[id].sent : record->sequence.next;
    return sent > record->sequence.distinct ? sent - record->sequence.distinct : 0;
}

static void print_received(const run_t *run, int index, int id, const flow_received_t *record) {
    printf("{\"endpoint\": ");
    print_string(run->plan.endpoints[index].name);
    printf(", \"flow\": %d", id);
    print_count("frames", record->frames);
    print_count("bytes", record->bytes);
    print_count("lost", lost(run, id, record));
    print_count("reordered", record->sequence.reordered);
    print_count("overtaken", record->sequence.overtaken);
    print_count("duplicates", record->sequence.duplicates);
    print_count("corrupted", record->corrupted);
    print_seconds("seconds", record->last - record->first);
    const histogram_t *delay = &record->delay;
    printf(", \"delay_ns\": {\"mean\": %" PRIu64, delay->count > 0 ? delay->sum / delay->count : 0);
    print_count("p50", histogram_percentile(delay, 0.5));
    print_count("p99", histogram_percentile(delay, 0.99));
    print_count("p99.9", histogram_percentile(delay, 0.999));
    print_count("max", delay->max);
    printf("}");
    print_bins(record);
    printf("}");
}

static void print_endpoint(const endpoint_t *endpoint, const endpoint_tally_t *tally) {
    const uint8_t *mac = endpoint->mac.bytes;
    printf("{\"name\": ");
    print_string(endpoint->name);
    printf(
        ", \"mac\": \"%02x:%02x:%02x:%02x:%02x:%02x\"", mac[0], mac[1], mac[2], mac[3], mac[4],
        mac[5]);
    print_count("send_buffer", (uint64_t)endpoint->send_buffer);
    print_count("magic_sent", tally->magic_sent);
    print_count("announcements_sent", tally->announcements_sent);
    print_count("extras_sent", tally->extras_sent);
    print_count("received", tally->received);
    print_count("received_bytes", tally->received_bytes);
    print_count("announcements", tally->announcements);
    print_count("extras", tally->extras);
    print_count("overheard", tally->overheard);
    print_count("segments", tally->segments);
    print_count("segment_payload", tally->segment_payload);
    print_count("aliens", tally->aliens);
    print_count("receive_calls", tally->receive_calls);
    printf("}");
}

/// Datagrams that the switch must have received and may have delivered, the magic left out.
static void print_totals(const run_t *run) {
    uint64_t sent = 0, received = 0;
    for (int i = 0; i < run->plan.endpoint_count; i++) {
        sent += run->tallies[i].announcements_sent + run->tallies[i].extras_sent;
        received += run->tallies[i].received;
    }
    for (int i = 0; i < run->plan.flow_count; i++)
        sent += run->sending->flows[run->plan.flows[i].id].sent;
    printf("\"totals\": {\"sent\": %" PRIu64 ", \"received\": %" PRIu64 "}", sent, received);
}

void report_print(const run_t *run) {
    const plan_t *plan = &run->plan;
    printf("{\"seconds\": %.6f", (double)(run->finished - run->started) / 1e9);
    printf(
        ", \"cpu_seconds\": {\"senders\": %.6f, \"receivers\": %.6f}, ",
        (double)(run->sending->cpu_user + run->sending->cpu_system) / 1e9,
        (double)(run->cpu_user + run->cpu_system) / 1e9);
    print_totals(run);
    printf(", \"endpoints\": [");
    for (int i = 0; i < plan->endpoint_count; i++) {
        if (i > 0) printf(", ");
        print_endpoint(&plan->endpoints[i], &run->tallies[i]);
    }
    printf("], \"sent\": [");
    for (int i = 0; i < plan->flow_count; i++) {
        if (i > 0) printf(", ");
        print_sent(run, &plan->flows[i]);
    }
    printf("], \"received\": [");
    const char *separator = "";
    for (int i = 0; i < plan->endpoint_count; i++) {
        for (int id = 0; id < FLOW_LIMIT; id++) {
            if (run->tallies[i].flows[id] == NULL) continue;
            printf("%s", separator);
            print_received(run, i, id, run->tallies[i].flows[id]);
            separator = ", ";
        }
    }
    printf("]}\n");
    fflush(stdout);
}
