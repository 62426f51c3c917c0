// Frames that no well-behaved peer sends.
#include "hostile.h"

#include "frame.h"

#include <string.h>

enum { HOSTILE_FRAME_LENGTH = 60, ETHERNET_HEADER_LENGTH = 14, FUZZ_COMMON_LENGTH = 2048 };

/// xorshift64* (Vigna 2016).
static uint64_t draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static void draw_bytes(uint64_t *state, uint8_t *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = (uint8_t)(draw(state) >> 56);
}

/// Random bytes of random length. Every second datagram has believable addresses, else nearly all
/// of them would be thrown away by the first test; one in 64 is as long as a datagram may be.
static hostile_t fuzz(const flow_t *flow, const mac_t *source, uint64_t *random, uint8_t *head) {
    draw_bytes(random, head, FRAME_HEAD_LENGTH);
    uint64_t dice = draw(random);
    if (dice & 1) {
        memcpy(head, flow->destination.bytes, MAC_LENGTH);
        memcpy(head + MAC_LENGTH, source->bytes, MAC_LENGTH);
        if (dice & 2) memcpy(head + 12, "\x81\x00", 2);
    }
    size_t limit = (dice >> 8) % 64 == 0 ? FRAME_LENGTH_MAX : FUZZ_COMMON_LENGTH;
    size_t length = (size_t)(draw(random) % (limit + 1));
    if (length <= FRAME_HEAD_LENGTH) return (hostile_t){.head_length = length};
    return (hostile_t){
        .head_length = FRAME_HEAD_LENGTH,
        .tail = frame_pattern(),
        .tail_length = length - FRAME_HEAD_LENGTH,
    };
}

hostile_t hostile_write(const flow_t *flow, const mac_t *source, uint64_t *random, uint8_t *head) {
    memset(head, 0, HOSTILE_FRAME_LENGTH);
    memcpy(head, flow->destination.bytes, MAC_LENGTH);
    memcpy(head + MAC_LENGTH, source->bytes, MAC_LENGTH);
    head[12] = FRAME_ETHERTYPE >> 8;
    head[13] = FRAME_ETHERTYPE & 0xFF;
    hostile_t datagram = {.head_length = HOSTILE_FRAME_LENGTH};
    switch (flow->kind) {
    case KIND_EMPTY: datagram.head_length = 0; break;
    case KIND_ONE: datagram.head_length = 1; break;
    case KIND_THIRTEEN: datagram.head_length = ETHERNET_HEADER_LENGTH - 1; break;
    case KIND_OVERSIZE:
        datagram.tail = frame_pattern();
        datagram.tail_length = flow->length - HOSTILE_FRAME_LENGTH;
        break;
    case KIND_ETHERTYPE: draw_bytes(random, head + 12, 2); break;
    case KIND_GROUPSOURCE:
        draw_bytes(random, head + MAC_LENGTH, MAC_LENGTH);
        head[MAC_LENGTH] |= 1;
        break;
    case KIND_ZEROSOURCE: memset(head + MAC_LENGTH, 0, MAC_LENGTH); break;
    case KIND_RESERVED:
        // 01-80-C2-00-00-00 to -0F: link-local, not relayed by bridges (IEEE 802.1Q, table 8-1).
        memcpy(head, "\x01\x80\xC2\x00\x00", 5);
        head[5] = (uint8_t)(draw(random) % 16);
        break;
    case KIND_MACFLOOD:
        draw_bytes(random, head + MAC_LENGTH, MAC_LENGTH);
        head[MAC_LENGTH] = (uint8_t)((head[MAC_LENGTH] & ~1u) | 2u);
        break;
    case KIND_MAGIC:
        memcpy(head, "VFKT", 4);
        datagram.head_length = 4;
        break;
    case KIND_FUZZ: return fuzz(flow, source, random, head);
    case KIND_MEASURED:
    case KIND_COUNT: break;
    }
    return datagram;
}
