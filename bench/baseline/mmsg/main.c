// cable-mmsg: frames from one socket to the other by poll, recvmmsg and sendmmsg.
//
// The best that plain system calls do. What a full egress socket refuses is dropped with the rest
// of its batch: trying the others one by one costs a call each and nearly always fails as well.

#define _GNU_SOURCE
#include "../cable.h"

enum { BATCH_MAX = 64 };

typedef struct {
    unsigned length; ///< Frames read at once.
    struct mmsghdr messages[BATCH_MAX];
    struct iovec pieces[BATCH_MAX];
    struct mmsghdr outgoing[BATCH_MAX];
    struct iovec outgoing_pieces[BATCH_MAX];
} batch_t;

/// One batch serves all sides: its memory stays in the cache, and nothing outlives a turn.
static void batch_prepare(batch_t *batch, const cable_t *cable) {
    batch->length = cable->buffers < BATCH_MAX ? cable->buffers : BATCH_MAX;
    size_t stride = cable_stride(cable);
    uint8_t *memory = aligned_alloc(CACHE_LINE, stride * batch->length);
    if (memory == NULL) cable_fail("buffers", ENOMEM);
    memset(memory, 0, stride * batch->length);
    for (unsigned i = 0; i < batch->length; i++) {
        batch->pieces[i] = (struct iovec){memory + i * stride, cable->buffer_size};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch->pieces[i], .msg_iovlen = 1};
        batch->outgoing[i].msg_hdr =
            (struct msghdr){.msg_iov = &batch->outgoing_pieces[i], .msg_iovlen = 1};
    }
}

/// Picks the frames that go on.
/// - Returns: their number.
static unsigned select_frames(cable_t *cable, batch_t *batch, unsigned received) {
    unsigned count = 0;
    for (unsigned i = 0; i < received; i++) {
        size_t length = batch->messages[i].msg_len;
        if (batch->messages[i].msg_hdr.msg_flags & MSG_TRUNC) {
            cable->counts.cut++;
        } else if (cable_is_magic(batch->pieces[i].iov_base, length)) {
            cable->counts.handshakes++;
            continue;
        } else {
            batch->outgoing_pieces[count++] = (struct iovec){batch->pieces[i].iov_base, length};
        }
        cable->counts.received++;
    }
    return count;
}

static void send_frames(cable_t *cable, batch_t *batch, int descriptor, unsigned count) {
    unsigned done = 0;
    while (done < count) {
        int sent =
            sendmmsg(descriptor, batch->outgoing + done, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        cable->counts.calls++;
        if (sent > 0) {
            cable->counts.sent += (unsigned)sent;
            done += (unsigned)sent;
        } else if (errno == EAGAIN) {
            cable->counts.dropped += count - done;
            return;
        } else if (errno != EINTR) {
            cable->counts.failed++;
            done++;
        }
    }
}

/// Reads one batch of a side and sends it at the other.
/// - Returns: whether there may be more.
static bool carry(cable_t *cable, batch_t *batch, int side) {
    int received =
        recvmmsg(cable->sides[side].descriptor, batch->messages, batch->length, MSG_DONTWAIT, NULL);
    cable->counts.calls++;
    if (received <= 0) return false;
    unsigned count = select_frames(cable, batch, (unsigned)received);
    send_frames(cable, batch, cable->sides[side ^ 1].descriptor, count);
    return (unsigned)received == batch->length;
}

/// Carries frames until a signal comes. After a full batch the sides are read again without a poll;
/// they take turns, so that no side waits for another.
static void run(cable_t *cable, batch_t *batch) {
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
            if (sockets[i].revents == 0) continue;
            if (carry(cable, batch, i)) {
                has_more = true;
            } else {
                sockets[i].revents = 0;
            }
        }
    }
}

int main(int argc, char **argv) {
    static cable_t cable;
    static batch_t batch;
    cable_read_options(&cable, argc, argv);
    struct sigaction action = {.sa_handler = cable_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    cable_listen(&cable);
    batch_prepare(&batch, &cable);
    if (cable_join(&cable)) run(&cable, &batch);
    cable_finish(&cable);
    return 0;
}
