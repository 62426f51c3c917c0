// A state in a file of memory, which is passed to the successor or kept by the service manager.
//
// There are two slots, written in turns: a head and the bytes. Whoever is killed while it writes
// one leaves the other whole. A reader takes the whole slot with the higher serial.
//
//     offset 0         slot 0: serial, length, checksum (8 bytes each), bytes
//     offset 1 GiB     slot 1: the same
//
// The bytes are written first and the head last; a head whose checksum does not fit its bytes
// belongs to a slot that was not finished. The file has holes where nothing was written, so it
// takes as much memory as there are bytes.

internal import CShimsSystem
internal import Glibc

/// A file of memory with a state in it.
///
/// Not thread-safe: it belongs to one actor or thread.
final class StateFile: Sendable {
    /// Where each slot begins.
    static let slotOffsets = [0, 1 << 30]
    private static let headLength = 24

    /// The file; owned by this object.
    let descriptor: Int32

    /// Makes an empty one.
    init() throws(SystemFailure) {
        descriptor = try SystemFailure.check(
            cshims_memory_file_create("ringswitch-state"), "cannot make a file for the state")
    }

    /// Takes over one that another process has written.
    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    deinit { _ = cshims_descriptor_close(descriptor) }

    /// Writes a state in place of the older one.
    func write(_ bytes: [UInt8]) throws(SystemFailure) {
        let serials = Self.slotOffsets.map { head(at: $0)?.serial ?? 0 }
        let slot = serials[0] > serials[1] ? 1 : 0
        let newest = serials[1 - slot]
        let offset = Self.slotOffsets[slot]
        try put([UInt8](repeating: 0, count: Self.headLength), at: offset)
        try put(bytes, at: offset + Self.headLength)
        var words: [UInt8] = []
        words.append(number: newest + 1)
        words.append(number: UInt64(bytes.count))
        words.append(number: Self.checksum(bytes, serial: newest + 1))
        try put(words, at: offset)
        // What a longer state has left behind is given back to the system.
        if slot == 1 { _ = ftruncate(descriptor, off_t(offset + Self.headLength + bytes.count)) }
    }

    /// The newest whole state; nil where there is none.
    func read() -> [UInt8]? {
        var best: (serial: UInt64, bytes: [UInt8])?
        for offset in Self.slotOffsets {
            guard let head = head(at: offset), head.serial > best?.serial ?? 0,
                let bytes = get(head.length, at: offset + Self.headLength),
                Self.checksum(bytes, serial: head.serial) == head.checksum
            else { continue }
            best = (head.serial, bytes)
        }
        return best?.bytes
    }

    private struct Head {
        let serial: UInt64
        let length: Int
        let checksum: UInt64
    }

    private func head(at offset: Int) -> Head? {
        guard let bytes = get(Self.headLength, at: offset) else { return nil }
        let words = bytes.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
            .map(UInt64.init(littleEndian:))
        guard words[0] > 0, words[1] < UInt64(Self.slotOffsets[1]) else { return nil }
        return Head(serial: words[0], length: Int(words[1]), checksum: words[2])
    }

    private func put(_ bytes: [UInt8], at offset: Int) throws(SystemFailure) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw SystemFailure(what: "cannot write the state", code: errno)
            }
            done += count
        }
    }

    private func get(_ count: Int, at offset: Int) -> [UInt8]? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, offset + count <= Int(status.st_size) else {
            return nil
        }
        var done = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while done < count {
                let read = pread(
                    descriptor, buffer.baseAddress.map { $0 + done }, count - done,
                    off_t(offset + done))
                if read < 0, errno == EINTR { continue }
                guard read > 0 else { break }
                done += read
            }
            initialized = done
        }
        return done == count ? bytes : nil
    }

    /// Tells a slot that was written to its end from one that was not: the words of the bytes, each
    /// multiplied into what came before.
    private static func checksum(_ bytes: [UInt8], serial: UInt64) -> UInt64 {
        var sum = serial &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
        bytes.withUnsafeBytes { raw in
            for position in 0..<(raw.count / 8) {
                let word = raw.loadUnaligned(fromByteOffset: 8 &* position, as: UInt64.self)
                sum = (sum ^ word.littleEndian) &* 0x0000_0100_0000_01B3
                sum ^= sum >> 29
            }
            for position in (raw.count / 8 * 8)..<raw.count {
                sum = (sum ^ UInt64(raw[position])) &* 0x0000_0100_0000_01B3
            }
        }
        return sum
    }
}
