// Both queues over plain memory, with the test as the kernel: at every position around 2^32.

import IORing
import Synchronization
import Testing

/// The memory of a submission queue, our end of it, and the kernel's.
private final class FakeSubmissions {
    let entries = UnsafeMutableRawPointer.allocate(byteCount: 8 * 64, alignment: 64)
    private let words = UnsafeMutablePointer<UInt32>.allocate(capacity: 2)
    private var queue: SubmissionQueue

    /// - Parameter start: where head and tail stand at first.
    init(start: UInt32) {
        words.initialize(repeating: start, count: 2)
        entries.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 8 * 64)
        queue = SubmissionQueue(
            entries: entries, head: kernelWord(words), tail: kernelWord(words + 1), capacity: 8)
    }

    deinit {
        entries.deallocate()
        words.deallocate()
    }

    var room: Int { queue.room }
    var stagedCount: Int { queue.stagedCount }

    func stage(_ sends: [SendRequest]) -> Int { sends.withUnsafeBufferPointer { queue.stage($0) } }
    func publish() -> Int { queue.publish() }

    /// Writes a tag to the next free entry, if there is one.
    func next(_ value: UInt64) -> Bool {
        guard let entry = queue.next() else { return false }
        entry.storeBytes(of: value, toByteOffset: 32, as: UInt64.self)
        return true
    }

    /// The kernel takes what it sees: the tags between head and tail.
    func kernelTakes() -> [UInt64] {
        var tags: [UInt64] = []
        while words[0] != words[1] {
            tags.append(
                (entries + Int(words[0] % 8) * 64).load(fromByteOffset: 32, as: UInt64.self))
            words[0] &+= 1
        }
        return tags
    }
}

/// The memory of a completion queue, our end of it, and the kernel's.
private final class FakeCompletions {
    private let entries = UnsafeMutablePointer<Completion>.allocate(capacity: 8)
    private let words = UnsafeMutablePointer<UInt32>.allocate(capacity: 2)
    private var queue: CompletionQueue

    /// - Parameter start: where head and tail stand at first.
    init(start: UInt32) {
        words.initialize(repeating: start, count: 2)
        entries.initialize(
            repeating: Completion(tag: CompletionTag(rawValue: 0), result: 0, flags: 0), count: 8)
        queue = CompletionQueue(
            entries: entries, head: kernelWord(words), tail: kernelWord(words + 1), capacity: 8)
    }

    deinit {
        entries.deallocate()
        words.deallocate()
    }

    /// The tags of at most `limit` completions.
    func reap(_ limit: Int) -> [UInt64] {
        withUnsafeTemporaryAllocation(of: Completion.self, capacity: limit) { space in
            let count = queue.reap(into: space)
            return space.prefix(count).map(\.tag.rawValue)
        }
    }

    func kernelPosts(_ value: UInt64) {
        precondition(words[1] &- words[0] < 8)
        entries[Int(words[1] % 8)] =
            Completion(tag: CompletionTag(rawValue: value), result: 0, flags: 0)
        words[1] &+= 1
    }
}

private func kernelWord(_ word: UnsafeMutablePointer<UInt32>) -> KernelWord {
    UnsafeMutableRawPointer(word).assumingMemoryBound(to: Atomic<UInt32>.self)
}

/// Sixteen positions before the wrap to sixteen after it.
private let positionsAroundWrap = (0..<32).map { UInt32.max - 15 &+ UInt32($0) }

private func request(_ value: UInt64, operation: SendRequest.Operation = .send) -> SendRequest {
    SendRequest(
        address: UnsafeRawPointer(bitPattern: 0x1234_5678_9ABC)!, length: 1514, fileSlot: 7,
        tag: CompletionTag(rawValue: value), operation: operation)
}

@Suite struct QueueTests {
    @Test(arguments: positionsAroundWrap)
    func `sends are staged up to the capacity, in order, at any position`(start: UInt32) {
        let queue = FakeSubmissions(start: start)
        for length in 1...11 {
            let staged = queue.stage((0..<length).map { request(UInt64($0)) })
            #expect(staged == min(length, 8))
            #expect(queue.room == 8 - staged)
            #expect(queue.kernelTakes() == [], "nothing is visible before it is published")
            #expect(queue.publish() == staged)
            #expect(queue.kernelTakes() == Array(0..<UInt64(staged)))
            #expect(queue.stagedCount == 0)
        }
    }

    @Test(arguments: positionsAroundWrap)
    func `entries taken one at a time share the queue with sends`(start: UInt32) {
        let queue = FakeSubmissions(start: start)
        #expect(queue.stage([request(0), request(1)]) == 2)
        for value in 2..<UInt64(8) { #expect(queue.next(value)) }
        #expect(!queue.next(8))
        #expect(queue.stage([request(9)]) == 0)
        #expect(queue.publish() == 8)
        #expect(queue.kernelTakes() == Array(0..<8))
        #expect(queue.next(10))
    }

    @Test(arguments: positionsAroundWrap)
    func `completions are reaped once and in order at any position`(start: UInt32) {
        let queue = FakeCompletions(start: start)
        #expect(queue.reap(5) == [])
        for value in 0..<UInt64(8) { queue.kernelPosts(value) }
        #expect(queue.reap(5) == [0, 1, 2, 3, 4])
        queue.kernelPosts(8)
        #expect(queue.reap(5) == [5, 6, 7, 8])
        #expect(queue.reap(5) == [])
    }

    @Test(arguments: [
        (SendRequest.Operation.send, 26 as UInt64, 1514 as UInt64),  // IORING_OP_SEND
        (.write, 23, 1514),  // IORING_OP_WRITE
        (.sendMessage, 9, 1),  // IORING_OP_SENDMSG
        (.writeVector, 2, 2),  // IORING_OP_WRITEV: two vectors
    ])
    func `an entry is written whole, whatever its place held before`(
        operation: SendRequest.Operation, opcode: UInt64, length: UInt64
    ) {
        let queue = FakeSubmissions(start: 0)
        #expect(queue.stage([request(0xFEED_0000_0001, operation: operation)]) == 1)
        let words = (0..<8).map { queue.entries.load(fromByteOffset: $0 * 8, as: UInt64.self) }
        let isWrite = operation == .write || operation == .writeVector
        let mode: UInt64 = isWrite ? 0x8 : 0x4040  // RWF_NOWAIT; MSG_DONTWAIT | MSG_NOSIGNAL
        let flags: UInt64 = 0x41  // IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS, never a link
        let head = opcode | flags << 8 | 7 << 32
        #expect(
            words == [head, 0, 0x1234_5678_9ABC, length | mode << 32, 0xFEED_0000_0001, 0, 0, 0])
    }
}
