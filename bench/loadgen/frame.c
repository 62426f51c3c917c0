// Building and checking the generator's own frames.
#include "frame.h"

#include <string.h>

enum {
    OFFSET_SORT = 14,
    OFFSET_CHECK = 15,
    OFFSET_SEQUENCE = 16,
    OFFSET_STAMP = 24,
    OFFSET_LENGTH = 32,
    OFFSET_FLOW = 36,
    OFFSET_HEADER_CHECK = 38,
    PLACES = 512,         ///< Places at which a body may begin, a power of two.
    PLACE_STRIDE = 8,     ///< Bytes between two places.
    SAMPLE_STRIDE = 4096, ///< Bytes between two sampled words of a body.
};

static uint8_t pattern[FRAME_LENGTH_MAX + PLACES * PLACE_STRIDE] __attribute__((aligned(64)));

void frame_prepare(void) {
    uint64_t state = 0x9E3779B97F4A7C15ull;
    for (size_t i = 0; i < sizeof pattern; i++) {
        // xorshift64 (Marsaglia 2003): any fixed sequence does.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
}

const uint8_t *frame_pattern(void) {
    return pattern;
}

static const uint8_t *body(uint16_t flow, uint64_t sequence) {
    uint64_t mixed = (sequence + ((uint64_t)flow << 40)) * 0x9E3779B97F4A7C15ull;
    return pattern + (mixed >> 32) % PLACES * PLACE_STRIDE;
}

static uint16_t header_check(const uint8_t *bytes) {
    uint64_t words[3];
    memcpy(words, bytes + OFFSET_SORT, sizeof words);
    uint64_t mixed =
        (words[0] ^ (words[1] << 21 | words[1] >> 43) ^ (words[2] << 42 | words[2] >> 22));
    mixed *= 0xD6E8FEB86659FD93ull;
    return (uint16_t)(mixed >> 48);
}

const uint8_t *frame_write(
    uint8_t *head, const mac_t *destination, const mac_t *source, const frame_fields_t *fields) {
    memcpy(head, destination->bytes, MAC_LENGTH);
    memcpy(head + MAC_LENGTH, source->bytes, MAC_LENGTH);
    head[12] = FRAME_ETHERTYPE >> 8;
    head[13] = FRAME_ETHERTYPE & 0xFF;
    head[OFFSET_SORT] = (uint8_t)fields->sort;
    head[OFFSET_CHECK] = (uint8_t)fields->check;
    memcpy(head + OFFSET_SEQUENCE, &fields->sequence, sizeof fields->sequence);
    memcpy(head + OFFSET_STAMP, &fields->stamp, sizeof fields->stamp);
    memcpy(head + OFFSET_LENGTH, &fields->length, sizeof fields->length);
    memcpy(head + OFFSET_FLOW, &fields->flow, sizeof fields->flow);
    uint16_t check = header_check(head);
    memcpy(head + OFFSET_HEADER_CHECK, &check, sizeof check);

    const uint8_t *start = body(fields->flow, fields->sequence);
    uint32_t head_length = fields->length < FRAME_HEAD_LENGTH ? fields->length : FRAME_HEAD_LENGTH;
    memcpy(head + FRAME_HEADER_LENGTH, start, head_length - FRAME_HEADER_LENGTH);
    return start + (FRAME_HEAD_LENGTH - FRAME_HEADER_LENGTH);
}

bool frame_read(const uint8_t *bytes, size_t length, frame_fields_t *fields) {
    if (length < FRAME_HEADER_LENGTH) return false;
    if (bytes[12] != FRAME_ETHERTYPE >> 8 || bytes[13] != (FRAME_ETHERTYPE & 0xFF)) return false;
    uint16_t check;
    memcpy(&check, bytes + OFFSET_HEADER_CHECK, sizeof check);
    if (check != header_check(bytes)) return false;
    fields->sort = (sort_t)bytes[OFFSET_SORT];
    fields->check = (check_t)bytes[OFFSET_CHECK];
    memcpy(&fields->sequence, bytes + OFFSET_SEQUENCE, sizeof fields->sequence);
    memcpy(&fields->stamp, bytes + OFFSET_STAMP, sizeof fields->stamp);
    memcpy(&fields->length, bytes + OFFSET_LENGTH, sizeof fields->length);
    memcpy(&fields->flow, bytes + OFFSET_FLOW, sizeof fields->flow);
    return fields->flow < FLOW_LIMIT;
}

bool frame_is_intact(const uint8_t *bytes, size_t length, const frame_fields_t *fields) {
    if (length != fields->length) return false;
    const uint8_t *expected = body(fields->flow, fields->sequence);
    const uint8_t *found = bytes + FRAME_HEADER_LENGTH;
    size_t body_length = length - FRAME_HEADER_LENGTH;
    if (fields->check == CHECK_FULL || body_length <= 2 * sizeof(uint64_t)) {
        return memcmp(found, expected, body_length) == 0;
    }
    for (size_t i = 0; i + sizeof(uint64_t) <= body_length; i += SAMPLE_STRIDE) {
        if (memcmp(found + i, expected + i, sizeof(uint64_t)) != 0) return false;
    }
    size_t last = body_length - sizeof(uint64_t);
    return memcmp(found + last, expected + last, sizeof(uint64_t)) == 0;
}
