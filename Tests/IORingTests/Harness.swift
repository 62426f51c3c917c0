// What the kernel tests share: descriptors that close themselves, a ring with a socket pair and a
// pool behind it, waits with a limit, and threads of their own.
//
// Test functions here are synchronous, so each runs on one thread from its first line to its last:
// a ring that it enables is its own.

import Glibc
import IORing
import Testing

/// No wait in a test is longer; it is reached only when a test fails.
let waitLimitNanoseconds: Int64 = 30_000_000_000

let isRoot = geteuid() == 0

/// An open descriptor that closes at its end.
final class Descriptor: Sendable {
    let number: Int32

    init(_ number: Int32) throws {
        try #require(number >= 0, "errno \(errno)")
        self.number = number
    }

    deinit { close(number) }
}

/// The type of datagram sockets that no program inherits.
let closingDatagrams = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)

/// Two connected AF_UNIX datagram sockets, the way a port and its VM are.
struct SocketPair {
    let near: Descriptor
    let far: Descriptor

    /// - Parameter sendBuffer: SO_SNDBUF of the near end; `nil` leaves the system's default.
    init(sendBuffer: Int32? = nil) throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, closingDatagrams, 0, &ends) == 0)
        near = try Descriptor(ends[0])
        far = try Descriptor(ends[1])
        if var size = sendBuffer {
            let length = socklen_t(MemoryLayout<Int32>.size)
            try #require(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, length) == 0)
        }
    }

    /// Sends from the far end.
    /// - Returns: 0 or errno.
    @discardableResult
    func farSends(_ bytes: [UInt8]) -> Int32 {
        send(far.number, bytes, bytes.count, Int32(MSG_DONTWAIT)) < 0 ? errno : 0
    }

    /// Every datagram that waits at the far end.
    func farReceivesAll() -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(far.number, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            guard count >= 0 else { return frames }
            frames.append(Array(bytes.prefix(count)))
        }
    }
}

/// A frame that tells its number: four bytes of it, then a pattern.
func numberedFrame(_ number: Int, length: Int = 60) -> [UInt8] {
    var frame = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: length)
    withUnsafeBytes(of: UInt32(number)) { frame.replaceSubrange(0..<4, with: $0) }
    return frame
}

func number(of frame: some Collection<UInt8>) -> Int {
    frame.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
}

func tag(_ kind: UInt8, slot: Int = 0) -> CompletionTag {
    CompletionTag(kind: kind, port: 1, generation: 1, slot: slot)
}

/// A ring behind a reference, with the waits that tests need; `#expect` cannot look at what is
/// ~Copyable.
///
/// Sendable as the ring in it: used by one thread at a time, which the tests' joins see to.
final class TestRing: @unchecked Sendable {
    var ring: Ring

    /// A ring that the calling thread owns, unless it is not to be enabled yet.
    init(
        submissions: Int = 64, completions: Int = 256, fileSlots: Int = 8, isEnabled: Bool = true
    ) throws {
        ring = try Ring(
            submissionEntries: submissions, completionEntries: completions, fileSlots: fileSlots)
        if isEnabled { try ring.enable() }
    }

    func enable() throws(RingError) { try ring.enable() }

    func setFile(_ slot: Int, _ descriptor: Descriptor) -> Int32 {
        ring.setFile(slot: slot, fd: descriptor.number)
    }

    func clearFile(_ slot: Int) -> Int32 { ring.clearFile(slot: slot) }

    /// Arms a receive into group 1.
    func armReceive(_ slot: Int, tag: CompletionTag) -> Bool {
        ring.armReceive(fileSlot: slot, bufferGroup: 1, tag: tag)
    }

    func armPoll(_ slot: Int, _ events: Int32, tag: CompletionTag) -> Bool {
        ring.armPoll(fileSlot: slot, events: UInt32(events), tag: tag)
    }

    func armEventPoll(_ wake: Wake, tag: CompletionTag) -> Bool {
        ring.armEventPoll(wake, tag: tag)
    }

    func cancelAll(_ slot: Int, tag: CompletionTag) -> Bool {
        ring.cancelAll(fileSlot: slot, tag: tag)
    }

    func stage(_ sends: some Collection<SendRequest>) -> Int {
        Array(sends).withUnsafeBufferPointer { ring.stage($0) }
    }

    @discardableResult
    func enter(waitingFor count: UInt32 = 0, nanoseconds: Int64? = nil) -> Int32 {
        ring.enter(waitingFor: count, timeoutNanoseconds: nanoseconds)
    }

    /// Everything that the queue holds now, without a system call.
    func reapAll() -> [Completion] {
        withUnsafeTemporaryAllocation(
            of: Completion.self, capacity: ring.completionCapacity
        ) { space in
            let count = ring.reap(into: space)
            return Array(space.prefix(count))
        }
    }

    /// Submits, lets the kernel work without waiting, and reaps.
    func turn() -> [Completion] {
        enter()
        return reapAll()
    }

    /// Takes turns until `count` completions were reaped, or fails after the limit.
    func turns(until count: Int) throws -> [Completion] {
        var completions: [Completion] = []
        while completions.count < count {
            let status = enter(waitingFor: 1, nanoseconds: waitLimitNanoseconds)
            completions += reapAll()
            try #require(status != -ETIME, "\(completions.count) of \(count) completions in time")
        }
        return completions
    }

    /// Stages and submits frames to one file, as often as the queue's size needs.
    /// - Returns: the completions that came: the refused frames, their index in `tag.slot`.
    func sendAll(_ frames: [[UInt8]], to slot: Int, operation: SendRequest.Operation = .send)
        -> [Completion]
    {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: frames.reduce(1) { $0 + $1.count }, alignment: 16)
        defer { memory.deallocate() }
        var offset = 0
        var requests: [SendRequest] = []
        for (index, frame) in frames.enumerated() {
            (memory + offset).copyMemory(from: frame, byteCount: frame.count)
            requests.append(
                SendRequest(
                    address: UnsafeRawPointer(memory + offset), length: UInt32(frame.count),
                    fileSlot: UInt32(slot), tag: tag(9, slot: index), operation: operation))
            offset += frame.count
        }
        var refused: [Completion] = []
        var staged = 0
        while staged < requests.count {
            staged += stage(requests[staged...])
            refused += turn()
        }
        return refused
    }
}

/// A buffer ring behind a reference; it unregisters at its end, so that a failed test ends in
/// peace.
final class TestPool: @unchecked Sendable {
    var buffers: BufferRing
    let ring: TestRing

    /// A registered pool, group 1 unless told.
    init(for ring: TestRing, group: UInt16 = 1, count: Int, length: Int = 2048) throws {
        self.ring = ring
        buffers = try BufferRing(group: group, count: count, bufferLength: length)
        try buffers.register(with: &ring.ring)
    }

    deinit {
        if buffers.isRegistered { try? buffers.unregister(from: &ring.ring) }
    }

    var isRegistered: Bool { buffers.isRegistered }

    func register() throws(RingError) { try buffers.register(with: &ring.ring) }
    func unregister() throws(RingError) { try buffers.unregister(from: &ring.ring) }
    func poison() { buffers.poison() }
    func isPoisonIntact() -> Bool { buffers.isPoisonIntact() }

    /// Bytes at an offset from the frame of a completion, which stays taken.
    func bytes(of completion: Completion, at offset: Int, count: Int) throws -> [UInt8] {
        let start = buffers.address(of: try #require(completion.bufferID)) + offset
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// A copy of the frame that a completion brought, and its buffer back to the kernel.
    func take(_ completion: Completion) throws -> [UInt8] {
        let length = min(Int(completion.result), buffers.bufferLength)
        let frame = try bytes(of: completion, at: 0, count: length)
        buffers.giveBack(try #require(completion.bufferID))
        buffers.publish()
        return frame
    }
}

/// A ring whose slot 0 is the near end of a socket pair, and a registered pool, group 1.
struct Receiver {
    let ring: TestRing
    let pool: TestPool
    let pair: SocketPair

    init(buffers count: Int, length: Int = 2048, completions: Int = 256) throws {
        pair = try SocketPair()
        ring = try TestRing(submissions: min(64, completions), completions: completions)
        pool = try TestPool(for: ring, count: count, length: length)
        try #require(ring.setFile(0, pair.near) == 0)
    }

    /// Arms the receive of slot 0, kind 1, again and again until `count` frames came; takes them.
    /// - Returns: the frames, and how often the request ended.
    func receive(_ count: Int) throws -> (frames: [[UInt8]], ends: [Int32]) {
        var frames: [[UInt8]] = []
        var ends: [Int32] = []
        while frames.count < count {
            for completion in try ring.turns(until: 1) {
                if completion.result > 0 { frames.append(try pool.take(completion)) }
                if !completion.hasMore {
                    ends.append(completion.result)
                    try #require(ring.armReceive(0, tag: tag(1)))
                }
            }
        }
        return (frames, ends)
    }
}

/// Carries a value to another thread and back; the test joins that thread before it looks again.
final class Handover<Value>: @unchecked Sendable {
    var value: Value

    init(_ value: Value) { self.value = value }
}

/// A thread that runs one body.
struct RunningThread {
    private let identity: pthread_t

    init(_ body: @escaping () -> Void) {
        var identity = pthread_t()
        let context = Unmanaged.passRetained(Handover(body)).toOpaque()
        let status = pthread_create(
            &identity, nil,
            { context in
                Unmanaged<Handover<() -> Void>>.fromOpaque(context!).takeRetainedValue().value()
                return nil
            }, context)
        precondition(status == 0)
        self.identity = identity
    }

    func join() { pthread_join(identity, nil) }
}

/// Runs a body on a thread of its own, and waits for the thread's end; what it throws fails the
/// test.
func onOwnThread(_ body: @escaping () throws -> Void) {
    RunningThread {
        do { try body() } catch { Issue.record(error) }
    }.join()
}

/// The system call itself, by number, on the calling thread alone; Swift cannot import a variadic
/// function.
let rawSystemCall = unsafeBitCast(
    dlsym(nil, "syscall"),
    to: (@convention(c) (Int, Int, Int, Int, Int, Int, Int) -> Int).self)
