// The plan of a run: which machines (endpoints) exist and which frames (flows) pass between them.
//
// A plan is read once, before any socket exists, and never changes afterwards, except for what the
// connecting step fills in (`descriptor`, `send_buffer`).

#ifndef LOADGEN_PLAN_H
#define LOADGEN_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

enum {
    ENDPOINT_LIMIT = 1024, ///< Endpoints of one process.
    FLOW_LIMIT = 1024, ///< Flow identifiers, 0 ..< FLOW_LIMIT, common to all processes of a test.
    NAME_LIMIT = 32,   ///< Bytes of a name, with its final zero.
    MAC_LENGTH = 6,
    EXTRA_MAC_LIMIT = 1 << 20, ///< Further addresses behind an endpoint.
    FRAME_LENGTH_MAX = 65550, ///< Longest frame that a libkrun guest sends.
};

typedef struct {
    uint8_t bytes[MAC_LENGTH];
} mac_t;

typedef enum {
    READ_ALWAYS, ///< As fast as frames come.
    READ_SLOWLY, ///< Sleeps after each batch.
    READ_NEVER,  ///< Attached, announced, and from then on stuck.
} reading_t;

/// One VM: a datagram socket bound to a path of its own and connected to the path of a port.
typedef struct {
    char name[NAME_LIMIT];
    char own_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char port_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    mac_t mac;
    bool sends_magic;      ///< "VFKT" before the first frame.
    bool is_stream;        ///< Frames behind their length in a stream; then there is no own path.
    bool rejoins;          ///< Connects again when the switch was restarted; libkrun does not.
    int asked_send_buffer; ///< Bytes asked for with SO_SNDBUF.
    uint32_t extra_macs;   ///< Further source addresses announced behind this port.
    reading_t reading;
    uint32_t read_pause; ///< Microseconds slept after each batch (READ_SLOWLY).
    uint32_t read_batch; ///< Frames of one recvmmsg; 0: as many as suit the frame length.
    int descriptor;      ///< -1 until connected.
    int send_buffer;     ///< Effective bytes of SO_SNDBUF.
} endpoint_t;

typedef enum {
    KIND_MEASURED, ///< Sequence-numbered frames, counted and checked by their receivers.
    KIND_EMPTY,
    KIND_ONE,
    KIND_THIRTEEN,
    KIND_OVERSIZE,
    KIND_ETHERTYPE,
    KIND_GROUPSOURCE,
    KIND_ZEROSOURCE,
    KIND_RESERVED,
    KIND_MACFLOOD,
    KIND_MAGIC,
    KIND_FUZZ,
    KIND_COUNT,
} kind_t;

typedef enum {
    CHECK_SAMPLES, ///< A word at each 4096 bytes and the last word: next to free.
    CHECK_FULL,    ///< Every byte.
} check_t;

/// What the bytes before a frame's record make of it (frame.h).
typedef enum {
    SHAPE_ETHERNET,    ///< An EtherType of its own.
    SHAPE_TCP,         ///< An IPv4 packet with a TCP segment.
    SHAPE_TCP_PARTIAL, ///< The same with a checksum that is not finished.
} shape_t;

/// Frames from one endpoint to one address.
typedef struct {
    uint16_t id;
    char name[NAME_LIMIT];
    int from; ///< Index of the sending endpoint.
    int to;   ///< Index of the receiving endpoint, -1 if it is not one of this process.
    mac_t destination;
    kind_t kind;
    check_t check;
    shape_t shape;
    bool spreads;         ///< Rotates through the extra addresses of the receiving endpoint.
    uint32_t length;      ///< Bytes of a frame.
    double rate;          ///< Frames a second; 0: as many as the socket takes.
    uint64_t count;       ///< Frames, after which the flow ends; 0: no such end.
    uint64_t start;       ///< Nanoseconds after the common start.
    uint64_t duration;    ///< Nanoseconds, after which the flow ends; 0: no such end.
    bool drops_when_full; ///< Gives a refused frame up, as libkrun does, rather than wait.
    uint64_t seed;        ///< Of the random numbers of a hostile flow.
} flow_t;

typedef struct {
    endpoint_t *endpoints;
    int endpoint_count;
    flow_t *flows;
    int flow_count;
    bool one_process;     ///< Senders are threads of the receiving process.
    bool reports_ready;   ///< Prints a line when everybody is attached and known.
    bool holds;           ///< Waits for a line or the end of standard input before the flows.
    bool hears_nobody;    ///< Starts without hearing the announcements of the flows' partners.
    uint64_t await_limit; ///< Nanoseconds to wait for the port sockets and the announcements.
    uint64_t
        run_limit; ///< Nanoseconds after which a process that only receives ends; 0: at a signal.
    uint64_t quiet_time;  ///< Nanoseconds without a frame that mean that nothing is under way.
    uint64_t drain_limit; ///< Nanoseconds after which draining ends though frames still come.
    uint64_t bin_width;   ///< Nanoseconds of one time bin of the receivers.
    uint32_t frame_max;   ///< Longest frame expected by the receivers.
} plan_t;

/// Names of the kinds as they stand in plans and reports.
extern const char *const kind_names[KIND_COUNT];

/// Reads the command line and the scenario that it names; ends the program with exit code 2 on a
/// mistake.
void plan_read(plan_t *plan, int argc, char **argv);

#endif
