// Building and checking the generator's own frames.
#include "frame.h"

#include <string.h>

enum {
    // Of a record (frame.h), from its first byte.
    OFFSET_SORT = 0,
    OFFSET_CHECK = 1,
    OFFSET_SEQUENCE = 2,
    OFFSET_STAMP = 10,
    OFFSET_LENGTH = 18,
    OFFSET_FLOW = 22,
    OFFSET_RECORD_CHECK = 24,
    RECORD_LENGTH = 26,

    // Of a TCP-shaped frame.
    OFFSET_IP = 14,
    OFFSET_TCP = 34,
    OFFSET_TCP_CHECKSUM = OFFSET_TCP + 16,
    OFFSET_PAYLOAD = 54,
    IP_HEADER_LENGTH = OFFSET_TCP - OFFSET_IP,
    ETHERTYPE_IPV4 = 0x0800,
    PROTOCOL_TCP = 6,
    SOURCE_PORT_BASE = 0x8000,

    PLACES = 512,         ///< Places at which a body may begin, a power of two.
    PLACE_STRIDE = 8,     ///< Bytes between two places.
    SAMPLE_STRIDE = 4096, ///< Bytes between two sampled words of a body.
    PATTERN_LENGTH = FRAME_LENGTH_MAX + PLACES * PLACE_STRIDE,
};

static uint8_t pattern[PATTERN_LENGTH] __attribute__((aligned(64)));

/// Element i: the sum of the pattern's first i words of 16 bits, so that a checksum over a run of
/// it costs no look at the run.
static uint64_t pattern_sums[PATTERN_LENGTH / 2 + 1];

void frame_prepare(void) {
    uint64_t state = 0x9E3779B97F4A7C15ull;
    for (size_t i = 0; i < sizeof pattern; i++) {
        // xorshift64 (Marsaglia 2003): any fixed sequence does.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
    for (size_t i = 0; i < PATTERN_LENGTH / 2; i++) {
        uint16_t word;
        memcpy(&word, pattern + 2 * i, sizeof word);
        pattern_sums[i + 1] = pattern_sums[i] + word;
    }
}

const uint8_t *frame_pattern(void) {
    return pattern;
}

static const uint8_t *body(uint16_t flow, uint64_t sequence) {
    uint64_t mixed = (sequence + ((uint64_t)flow << 40)) * 0x9E3779B97F4A7C15ull;
    return pattern + (mixed >> 32) % PLACES * PLACE_STRIDE;
}

static uint16_t record_check(const uint8_t *record) {
    uint64_t words[3];
    memcpy(words, record, sizeof words);
    uint64_t mixed =
        (words[0] ^ (words[1] << 21 | words[1] >> 43) ^ (words[2] << 42 | words[2] >> 22));
    mixed *= 0xD6E8FEB86659FD93ull;
    return (uint16_t)(mixed >> 48);
}

// Sums of 16-bit words in the machine's order: the one's complement sum of swapped words is the
// swapped sum (RFC 1071), so no word is swapped.

static uint64_t sum(const uint8_t *bytes, size_t length) {
    uint64_t total = 0;
    for (; length >= 2; bytes += 2, length -= 2) {
        uint16_t word;
        memcpy(&word, bytes, sizeof word);
        total += word;
    }
    uint16_t last = 0;
    memcpy(&last, bytes, length);
    return total + last;
}

/// The same of a run of the pattern that begins at an even place.
static uint64_t pattern_sum(const uint8_t *bytes, size_t length) {
    size_t first = (size_t)(bytes - pattern) / 2;
    uint64_t whole = pattern_sums[first + length / 2] - pattern_sums[first];
    return whole + sum(bytes + length / 2 * 2, length % 2);
}

static uint16_t fold(uint64_t total) {
    while (total >> 16 != 0) total = (total & 0xFFFF) + (total >> 16);
    return (uint16_t)total;
}

static void put_16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint16_t get_16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_32(uint8_t *at, uint32_t value) {
    put_16(at, value >> 16);
    put_16(at + 2, value);
}

static uint32_t get_32(const uint8_t *at) {
    return (uint32_t)get_16(at) << 16 | get_16(at + 2);
}

/// Sum of the pseudo-header of a TCP-shaped frame (RFC 9293, 3.1).
static uint64_t pseudo_header_sum(const uint8_t *frame, uint32_t segment_length) {
    uint8_t rest[4] = {0, PROTOCOL_TCP};
    put_16(rest + 2, segment_length);
    return sum(frame + OFFSET_IP + 12, 8) + sum(rest, sizeof rest);
}

static uint32_t tcp_number(const frame_fields_t *fields) {
    return (uint32_t)(fields->sequence * (fields->length - OFFSET_PAYLOAD));
}

/// Everything of the headers that does not depend on the payload.
static void write_tcp_headers(
    uint8_t *head, const mac_t *destination, const mac_t *source, const frame_fields_t *fields) {
    put_16(head + 12, ETHERTYPE_IPV4);
    uint8_t *ip = head + OFFSET_IP;
    memset(ip, 0, OFFSET_PAYLOAD - OFFSET_IP);
    ip[0] = 0x45;
    put_16(ip + 2, fields->length - OFFSET_IP);
    put_16(ip + 4, (uint32_t)fields->sequence);
    ip[6] = 0x40; // Do not fragment.
    ip[8] = 64;
    ip[9] = PROTOCOL_TCP;
    ip[12] = ip[16] = 10;
    memcpy(ip + 13, source->bytes + 3, 3);
    memcpy(ip + 17, destination->bytes + 3, 3);
    uint16_t check = (uint16_t)~fold(sum(ip, IP_HEADER_LENGTH));
    memcpy(ip + 10, &check, sizeof check);

    uint8_t *tcp = head + OFFSET_TCP;
    put_16(tcp, SOURCE_PORT_BASE + fields->flow);
    put_16(tcp + 2, FRAME_ETHERTYPE);
    put_32(tcp + 4, tcp_number(fields));
    put_32(tcp + 8, 1);
    tcp[12] = (OFFSET_PAYLOAD - OFFSET_TCP) / 4 << 4;
    tcp[13] = 0x18; // ACK, PSH.
    put_16(tcp + 14, 0xFFFF);
    uint16_t partial = fold(pseudo_header_sum(head, fields->length - OFFSET_TCP));
    memcpy(head + OFFSET_TCP_CHECKSUM, &partial, sizeof partial);
}

static void write_record(uint8_t *record, const frame_fields_t *fields) {
    record[OFFSET_SORT] = (uint8_t)fields->sort;
    record[OFFSET_CHECK] = (uint8_t)fields->check;
    memcpy(record + OFFSET_SEQUENCE, &fields->sequence, sizeof fields->sequence);
    memcpy(record + OFFSET_STAMP, &fields->stamp, sizeof fields->stamp);
    memcpy(record + OFFSET_LENGTH, &fields->length, sizeof fields->length);
    memcpy(record + OFFSET_FLOW, &fields->flow, sizeof fields->flow);
    uint16_t check = record_check(record);
    memcpy(record + OFFSET_RECORD_CHECK, &check, sizeof check);
}

const uint8_t *frame_write(
    uint8_t *head, const mac_t *destination, const mac_t *source, const frame_fields_t *fields) {
    memcpy(head, destination->bytes, MAC_LENGTH);
    memcpy(head + MAC_LENGTH, source->bytes, MAC_LENGTH);
    uint32_t body_offset = FRAME_HEADER_LENGTH;
    if (fields->shape == SHAPE_ETHERNET) {
        put_16(head + 12, FRAME_ETHERTYPE);
    } else {
        write_tcp_headers(head, destination, source, fields);
        body_offset = FRAME_TCP_HEADER_LENGTH;
    }
    write_record(head + body_offset - RECORD_LENGTH, fields);

    const uint8_t *start = body(fields->flow, fields->sequence);
    uint32_t head_length = fields->length < FRAME_HEAD_LENGTH ? fields->length : FRAME_HEAD_LENGTH;
    memcpy(head + body_offset, start, head_length - body_offset);
    const uint8_t *tail = start + (FRAME_HEAD_LENGTH - body_offset);
    if (fields->shape == SHAPE_TCP) {
        // The field holds the pseudo-header's sum, so summing over it adds that.
        uint64_t total = sum(head + OFFSET_TCP, head_length - OFFSET_TCP)
                         + pattern_sum(tail, fields->length - head_length);
        uint16_t check = (uint16_t)~fold(total);
        memcpy(head + OFFSET_TCP_CHECKSUM, &check, sizeof check);
    }
    return tail;
}

static bool read_record(const uint8_t *record, frame_fields_t *fields) {
    uint16_t check;
    memcpy(&check, record + OFFSET_RECORD_CHECK, sizeof check);
    if (check != record_check(record)) return false;
    fields->sort = (sort_t)record[OFFSET_SORT];
    fields->check = (check_t)record[OFFSET_CHECK];
    memcpy(&fields->sequence, record + OFFSET_SEQUENCE, sizeof fields->sequence);
    memcpy(&fields->stamp, record + OFFSET_STAMP, sizeof fields->stamp);
    memcpy(&fields->length, record + OFFSET_LENGTH, sizeof fields->length);
    memcpy(&fields->flow, record + OFFSET_FLOW, sizeof fields->flow);
    return fields->flow < FLOW_LIMIT;
}

/// A frame is whole when its record, its IP length and its TCP number agree; a segment's payload
/// may look like a record by accident.
static found_t read_tcp(const uint8_t *bytes, size_t length, frame_fields_t *fields) {
    if (length < OFFSET_PAYLOAD || bytes[OFFSET_IP] != 0x45) return FOUND_ALIEN;
    if (bytes[OFFSET_IP + 9] != PROTOCOL_TCP) return FOUND_ALIEN;
    if (get_16(bytes + OFFSET_TCP + 2) != FRAME_ETHERTYPE) return FOUND_ALIEN;
    uint32_t promised = (uint32_t)get_16(bytes + OFFSET_IP + 2) + OFFSET_IP;
    if (promised < OFFSET_PAYLOAD) return FOUND_ALIEN;
    fields->shape = SHAPE_TCP;
    if (length >= FRAME_TCP_HEADER_LENGTH && read_record(bytes + OFFSET_PAYLOAD, fields)
        && fields->length == promised && tcp_number(fields) == get_32(bytes + OFFSET_TCP + 4)) {
        return FOUND_FRAME;
    }
    fields->length = promised - OFFSET_PAYLOAD;
    return FOUND_SEGMENT;
}

found_t frame_read(const uint8_t *bytes, size_t length, frame_fields_t *fields) {
    if (length < FRAME_HEADER_LENGTH) return FOUND_ALIEN;
    uint16_t type = get_16(bytes + 12);
    if (type == ETHERTYPE_IPV4) return read_tcp(bytes, length, fields);
    if (type != FRAME_ETHERTYPE) return FOUND_ALIEN;
    fields->shape = SHAPE_ETHERNET;
    return read_record(bytes + OFFSET_IP, fields) ? FOUND_FRAME : FOUND_ALIEN;
}

static bool has_right_checksum(const uint8_t *bytes, size_t length) {
    uint64_t total = sum(bytes + OFFSET_TCP, length - OFFSET_TCP)
                     + pseudo_header_sum(bytes, (uint32_t)length - OFFSET_TCP);
    return fold(total) == 0xFFFF;
}

bool frame_is_intact(const uint8_t *bytes, size_t length, const frame_fields_t *fields) {
    if (length != fields->length) return false;
    bool is_tcp = fields->shape != SHAPE_ETHERNET;
    size_t body_offset = is_tcp ? FRAME_TCP_HEADER_LENGTH : FRAME_HEADER_LENGTH;
    const uint8_t *expected = body(fields->flow, fields->sequence);
    const uint8_t *found = bytes + body_offset;
    size_t body_length = length - body_offset;
    if (fields->check == CHECK_FULL) {
        return memcmp(found, expected, body_length) == 0
               && (!is_tcp || has_right_checksum(bytes, length));
    }
    if (body_length <= 2 * sizeof(uint64_t)) return memcmp(found, expected, body_length) == 0;
    for (size_t i = 0; i + sizeof(uint64_t) <= body_length; i += SAMPLE_STRIDE) {
        if (memcmp(found + i, expected + i, sizeof(uint64_t)) != 0) return false;
    }
    size_t last = body_length - sizeof(uint64_t);
    return memcmp(found + last, expected + last, sizeof(uint64_t)) == 0;
}
