// cable-stream: frames behind their length (u32, big-endian) from one stream to the other.
//
// What a program does at least that has frames and not just bytes: it reads all that has come,
// finds where the last whole frame ends, and writes everything up to there in one call. Nothing is
// looked at, and no frame is moved but the torn one at the end. A full egress socket is waited for,
// as half a frame cannot be dropped: so unlike a switch the cable holds its sender up.

#define _GNU_SOURCE
#include "../cable.h"

#include <arpa/inet.h>

enum { PREFIX_LENGTH = 4, BUFFER_LENGTH = 256 << 10 };

typedef struct {
    uint8_t bytes[BUFFER_LENGTH];
    size_t length; ///< Bytes of a frame that has not come whole.
} stage_t;

static stage_t stages[SIDE_LIMIT];

static void listen_all(cable_t *cable) {
    for (int i = 0; i < cable->side_count; i++) {
        side_t *side = &cable->sides[i];
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(side->path) >= sizeof address.sun_path) cable_fail(side->path, ENAMETOOLONG);
        strcpy(address.sun_path, side->path);
        side->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (side->descriptor < 0) cable_fail("socket", errno);
        unlink(side->path);
        if (bind(side->descriptor, (struct sockaddr *)&address, sizeof address) != 0
            || listen(side->descriptor, 1) != 0) {
            cable_fail(side->path, errno);
        }
    }
}

/// Waits for a client at every side.
/// - Returns: false if a signal came first.
static bool accept_all(cable_t *cable) {
    for (int i = 0; i < cable->side_count; i++) {
        side_t *side = &cable->sides[i];
        struct pollfd listener = {side->descriptor, POLLIN, 0};
        while (poll(&listener, 1, 100) <= 0) {
            if (cable_is_stopped) return false;
        }
        int descriptor = accept4(side->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) cable_fail("accept", errno);
        close(side->descriptor);
        side->descriptor = descriptor;
        int size = cable->send_buffer;
        if (size > 0) setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    return true;
}

static void send_all(cable_t *cable, int descriptor, const uint8_t *bytes, size_t length) {
    while (length > 0 && !cable_is_stopped) {
        ssize_t sent = send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        cable->counts.calls++;
        if (sent >= 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {descriptor, POLLOUT, 0};
            poll(&writable, 1, 100);
            cable->counts.calls++;
        } else if (errno != EINTR) {
            cable->counts.failed++;
            return;
        }
    }
}

/// Reads what a side has and sends the whole frames of it at the other.
/// - Returns: 1 if there may be more, 0 if not, -1 at the end of the stream.
static int carry(cable_t *cable, int side) {
    stage_t *stage = &stages[side];
    size_t room = sizeof stage->bytes - stage->length;
    ssize_t count =
        recv(cable->sides[side].descriptor, stage->bytes + stage->length, room, MSG_DONTWAIT);
    cable->counts.calls++;
    if (count <= 0) return count == 0 ? -1 : 0;
    stage->length += (size_t)count;
    size_t whole = 0;
    while (stage->length - whole >= PREFIX_LENGTH) {
        uint32_t prefix;
        memcpy(&prefix, stage->bytes + whole, sizeof prefix);
        size_t length = PREFIX_LENGTH + (size_t)ntohl(prefix);
        if (stage->length - whole < length) break;
        whole += length;
        cable->counts.received++;
        cable->counts.sent++;
    }
    if (whole > 0) {
        send_all(cable, cable->sides[side ^ 1].descriptor, stage->bytes, whole);
        stage->length -= whole;
        memmove(stage->bytes, stage->bytes + whole, stage->length);
    }
    return (size_t)count == room;
}

static void run(cable_t *cable) {
    struct pollfd sockets[SIDE_LIMIT];
    bool has_more = false;
    for (int i = 0; i < cable->side_count; i++) {
        sockets[i] = (struct pollfd){cable->sides[i].descriptor, POLLIN, POLLIN};
    }
    while (!cable_is_stopped) {
        if (!has_more) {
            cable->counts.calls++;
            if (poll(sockets, (nfds_t)cable->side_count, 100) <= 0) continue;
        }
        has_more = false;
        for (int i = 0; i < cable->side_count; i++) {
            if (sockets[i].fd < 0 || sockets[i].revents == 0) continue;
            int more = carry(cable, i);
            if (more < 0) sockets[i].fd = -1;
            if (more > 0) has_more = true; else sockets[i].revents = 0;
        }
    }
}

int main(int argc, char **argv) {
    static cable_t cable;
    cable_read_options(&cable, argc, argv);
    struct sigaction action = {.sa_handler = cable_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    listen_all(&cable);
    if (accept_all(&cable)) run(&cable);
    cable_finish(&cable);
    return 0;
}
