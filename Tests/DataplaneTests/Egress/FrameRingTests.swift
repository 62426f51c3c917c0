// The byte ring against a dictionary of what lies in it.

import CShimsSystem
import Glibc
import Support
import Testing

@testable import Dataplane

@Suite struct FrameRingTests {
    @Test func `an empty ring that held much gives it back, and is as good as before`() {
        var ring = FrameRing(bytes: 1 << 20)
        let bytes = [UInt8](repeating: 5, count: 1000)
        let offsets = (0..<900).compactMap { _ in append(bytes, to: &ring) }
        #expect(offsets.count == 900)
        for offset in offsets { ring.remove(offset) }
        let pagesBefore = residentPages(of: ring)
        #expect(ring.mayBeTrimmed && pagesBefore > 200)
        ring.trim()
        #expect(!ring.mayBeTrimmed && residentPages(of: ring) <= 64)
        for _ in 0..<900 { #expect(append(bytes, to: &ring) != nil) }
        #expect(ring.payload(0).load(as: UInt8.self) == 5)
    }

    /// Pages of the ring's first MiB that have memory.
    private func residentPages(of ring: borrowing FrameRing) -> Int {
        var states = [UInt8](repeating: 0, count: 256)
        guard mincore(ring.header(0), 1 << 20, &states) == 0 else { return -1 }
        return states.filter { $0 & 1 == 1 }.count
    }

    private func append(_ bytes: [UInt8], to ring: inout FrameRing) -> UInt32? {
        bytes.withUnsafeBytes { memory in
            memory.baseAddress.flatMap {
                ring.append(cshims_gather($0, length: bytes.count), flow: 0, now: 0)
            }
        }
    }

    private func content(_ ring: borrowing FrameRing, _ offset: UInt32) -> [UInt8] {
        Array(
            UnsafeRawBufferPointer(
                start: ring.payload(offset), count: Int(ring.header(offset).pointee.length)))
    }

    @Test func `a hole is room again once all older frames have left`() throws {
        var ring = FrameRing(bytes: 64)
        // 128 bytes of memory: frames of 16 bytes take 48.
        let first = try #require(append(Array(repeating: 1, count: 16), to: &ring))
        let second = try #require(append(Array(repeating: 2, count: 16), to: &ring))
        ring.remove(second)
        #expect(append(Array(repeating: 3, count: 16), to: &ring) == nil)
        ring.remove(first)
        #expect(append(Array(repeating: 3, count: 64), to: &ring) == 0)
    }

    @Test(arguments: [64, 80, 96, 112, 128, 208, 1008], Seeds.list(10))
    func `any frame may leave, and the others stay as they are`(bytes: Int, seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(bytes))
        let comment: Comment = "seed \(seed), \(bytes) bytes"
        var ring = FrameRing(bytes: bytes)
        var model: [(offset: UInt32, bytes: [UInt8])] = []
        for step in 0..<800 {
            if Int.random(in: 0..<5, using: &generator) < 3 {
                let length = Int.random(in: 1...(bytes - 32), using: &generator) / (step % 4 + 1)
                let frame = Array(
                    repeating: UInt8(truncatingIfNeeded: step), count: max(1, length))
                if let offset = append(frame, to: &ring) {
                    model.append((offset, frame))
                } else {
                    #expect(!model.isEmpty, comment)
                }
            } else if !model.isEmpty {
                // Mostly the oldest, so that the ring goes round.
                let index =
                    Bool.random(using: &generator)
                    ? 0 : Int.random(in: 0..<model.count, using: &generator)
                ring.remove(model.remove(at: index).offset)
            }
            #expect(ring.count == model.count, comment)
            #expect(ring.oldest == model.first?.offset, comment)
            #expect(
                ring.usedBytes
                    == model.reduce(0) { $0 + StoredFrame.size(ofFrame: $1.bytes.count) },
                comment)
            for frame in model { #expect(content(ring, frame.offset) == frame.bytes, comment) }
        }
    }
}
