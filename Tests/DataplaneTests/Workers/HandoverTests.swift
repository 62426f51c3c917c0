// The ring between two workers: alone, when full, around its end, and under two threads.

import Support
import SwitchCore
import Synchronization
import Testing

@testable import Dataplane

@Suite struct HandoverTests {
    private func record(_ length: Int, _ number: Int) -> HandoverRecord {
        HandoverRecord(
            length: UInt32(length), ingress: PortID(index: number % 7), egress: UInt16(number % 5),
            generationOrCopies: UInt32(truncatingIfNeeded: number))
    }

    private func append(_ length: Int, _ number: Int, to ring: HandoverRing) -> Bool {
        let header = VirtioNetHeader.length
        let bytes = (0..<(header + length)).map { UInt8(truncatingIfNeeded: $0 &* 3 &+ number) }
        return bytes.withUnsafeBytes { memory in
            guard let start = memory.baseAddress else { return false }
            return ring.append(record(length, number), frame: start + header)
        }
    }

    /// Whether the next record is `number` with `length` bytes and the header before them, whole.
    private func isNext(_ length: Int, _ number: Int, of ring: HandoverRing) -> Bool {
        guard let (record, frame) = ring.next() else { return false }
        let header = VirtioNetHeader.length
        let bytes = UnsafeRawBufferPointer(
            start: frame - header, count: header + Int(record.length))
        return Int(record.length) == length && record.generationOrCopies == UInt32(number)
            && record.ingress == PortID(index: number % 7) && record.egress == UInt16(number % 5)
            && bytes.enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0 &* 3 &+ number) }
    }

    @Test func `a record is seen after it was published and not before`() {
        let ring = HandoverRing(capacity: 1024)
        defer { ring.deallocate() }
        #expect(append(60, 1, to: ring))
        #expect(ring.isEmpty)
        #expect(ring.next() == nil)
        ring.publish()
        #expect(!ring.isEmpty)
        #expect(isNext(60, 1, of: ring))
        #expect(ring.isEmpty)
    }

    @Test func `what was taken and not released can be taken once more`() {
        let ring = HandoverRing(capacity: 1024)
        defer { ring.deallocate() }
        for number in 1...4 { #expect(append(60, number, to: ring)) }
        ring.publish()
        #expect(isNext(60, 1, of: ring))
        ring.release()
        #expect(isNext(60, 2, of: ring))
        #expect(isNext(60, 3, of: ring))
        ring.rewind()
        for number in 2...4 { #expect(isNext(60, number, of: ring)) }
        ring.release()
        ring.rewind()
        #expect(ring.next() == nil)
    }

    @Test func `bytes are room again only after their release`() {
        let ring = HandoverRing(capacity: 256)
        defer { ring.deallocate() }
        #expect(append(96, 1, to: ring))
        #expect(append(96, 2, to: ring))
        #expect(!append(1, 3, to: ring))
        ring.publish()
        #expect(isNext(96, 1, of: ring))
        #expect(!append(1, 3, to: ring), "taken, but not released")
        ring.release()
        #expect(append(1, 3, to: ring))
        ring.publish()
        #expect(isNext(96, 2, of: ring))
        #expect(isNext(1, 3, of: ring))
        #expect(ring.next() == nil)
    }

    @Test func `an empty frame crosses, too`() {
        let ring = HandoverRing(capacity: 64)
        defer { ring.deallocate() }
        #expect(append(0, 9, to: ring))
        ring.publish()
        #expect(isNext(0, 9, of: ring))
    }

    @Test(arguments: [64, 128, 256, 1024], Seeds.list(20))
    func `every small ring does what an array does`(capacity: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(capacity))
        let ring = HandoverRing(capacity: capacity)
        defer { ring.deallocate() }
        var waiting: [(length: Int, number: Int)] = []
        var published = 0
        for number in 0..<2000 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0, 1:
                let length = Int.random(in: 0...(capacity / 2 - 32), using: &generator)
                if append(length, number, to: ring) {
                    waiting.append((length, number))
                } else {
                    #expect(!waiting.isEmpty, "an empty ring refuses nothing: seed \(seed)")
                }
            case 2:
                ring.publish()
                published = waiting.count
            default:
                let count = Int.random(in: 0...published, using: &generator)
                for _ in 0..<count {
                    let (length, number) = waiting.removeFirst()
                    #expect(isNext(length, number, of: ring), "seed \(seed)")
                }
                published -= count
                if published == 0 { #expect(ring.next() == nil, "seed \(seed)") }
                ring.release()
            }
        }
    }

    @Test(arguments: [256, 1024]) func `two threads pass every record on whole and in order`(
        capacity: Int
    ) {
        let count = 2000
        let ring = HandoverRing(capacity: capacity)
        defer { ring.deallocate() }
        let wrong = Atomic(0)
        runOnThreads(2) { index in
            for number in 0..<count {
                let length = number * 37 % (capacity / 2 - 32)
                if index == 0 {
                    while !append(length, number, to: ring) {
                        ring.publish()
                        yieldProcessor()
                    }
                    if number % 3 == 0 { ring.publish() }
                } else {
                    while ring.isEmpty {
                        ring.release()
                        yieldProcessor()
                    }
                    if !isNext(length, number, of: ring) {
                        wrong.wrappingAdd(1, ordering: .relaxed)
                    }
                    if number % 2 == 0 { ring.release() }
                }
            }
            if index == 0 { ring.publish() } else { ring.release() }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(ring.isEmpty)
    }
}
