// io_uring as a worker's backend.

internal import CShimsSystem
internal import Glibc
internal import IORing

/// Queue lengths of a worker's ring.
enum RingSizes {
    /// Submission entries: a batch of sends and, beside it, receives to arm again.
    static let submissions = 1024
    /// Completion entries: more than one enter can produce, so that the queue never overflows.
    static let completions = 8192
}

/// The kernel's io_uring behind a worker. Made and used on the worker's thread.
struct RingBackend: ~Copyable, WorkerBackend {
    private var ring: Ring
    private let wake: Wake

    /// - Parameter wake: ends a wait from another thread.
    init(fileSlots: Int, wake: Wake) throws(RingError) {
        var ring = try Ring(
            submissionEntries: RingSizes.submissions, completionEntries: RingSizes.completions,
            fileSlots: fileSlots)
        try ring.enable()
        self.ring = ring
        self.wake = wake
        _ = armWake()
    }

    func now() -> UInt64 { cshims_clock_monotonic() }

    mutating func stage(_ sends: UnsafeBufferPointer<SendRequest>) -> Int { ring.stage(sends) }

    mutating func enter(
        waitingFor count: UInt32, gatheringMicroseconds: UInt32, timeoutNanoseconds: Int64?
    ) -> Int32 {
        let result = ring.enter(
            waitingFor: count, gatheringMicroseconds: gatheringMicroseconds,
            timeoutNanoseconds: timeoutNanoseconds)
        if ring.stagedCount > 0 { submitRest() }
        return result
    }

    mutating func submit() -> Int32 {
        let result = ring.submit()
        if ring.stagedCount > 0 { submitRest() }
        return result
    }

    /// Submits what the kernel left, as it does for want of memory: a worker relies on every staged
    /// send having finished, since the memory of its frames goes back.
    @inline(never)
    private mutating func submitRest() {
        var result: Int32 = 0
        for _ in 0..<Self.submitAttemptsMax {
            result = ring.submit()
            if ring.stagedCount == 0 { return }
        }
        fatalError("the kernel takes no more submissions (errno \(-result))")
    }

    private static let submitAttemptsMax = 100_000

    mutating func reap(into completions: UnsafeMutableBufferPointer<Completion>) -> Int {
        ring.reap(into: completions)
    }

    mutating func open(
        slot: UInt32, descriptor: Int32, transport: TransportKind, buffers: inout BufferRing
    ) -> Int32 {
        let result = ring.setFile(slot: Int(slot), fd: descriptor)
        guard result >= 0, !transport.isPolled else { return result }
        do throws(RingError) {
            try buffers.register(with: &ring)
            return 0
        } catch {
            ring.clearFile(slot: Int(slot))
            return -code(of: error)
        }
    }

    mutating func close(slot: UInt32, buffers: inout BufferRing) {
        if buffers.isRegistered {
            do throws(RingError) {
                try buffers.unregister(from: &ring)
            } catch {
                fatalError("the kernel does not let go of a buffer group: \(error)")
            }
        }
        ring.clearFile(slot: Int(slot))
    }

    mutating func armReceive(slot: UInt32, transport: TransportKind, tag: CompletionTag) -> Bool {
        transport.isPolled
            ? ring.armPoll(fileSlot: Int(slot), events: UInt32(POLLIN), tag: tag)
            : ring.armReceive(fileSlot: Int(slot), bufferGroup: UInt16(slot), tag: tag)
    }

    mutating func armWritable(slot: UInt32, tag: CompletionTag) -> Bool {
        ring.armPoll(fileSlot: Int(slot), events: UInt32(POLLOUT), tag: tag)
    }

    mutating func armWake() -> Bool {
        ring.armEventPoll(
            wake, tag: CompletionTag(kind: CompletionKind.wake, port: 0, generation: 0, slot: 0))
    }

    mutating func cancelAll(slot: UInt32, tag: CompletionTag) -> Bool {
        ring.cancelAll(fileSlot: Int(slot), tag: tag)
    }

    func readBatch(
        descriptor: Int32, into memory: UnsafeMutableRawPointer, stride: Int, capacity: Int,
        lengths: UnsafeMutableBufferPointer<Int32>
    ) -> Int {
        Int(
            cshims_tap_read_batch(
                descriptor, memory, stride, UInt32(capacity), lengths.baseAddress,
                UInt32(lengths.count)))
    }

    func receiveStream(
        descriptor: Int32, _ first: cshims_slice, _ second: cshims_slice
    ) -> Int {
        cshims_stream_receive(descriptor, first, second)
    }

    func hasEnded(descriptor: Int32) -> Bool { cshims_socket_has_ended(descriptor) }

    func sendStream(descriptor: Int32, _ pieces: UnsafeBufferPointer<cshims_slice>) -> Int {
        cshims_stream_send(descriptor, pieces.baseAddress, UInt32(pieces.count))
    }

    func outstanding(descriptor: Int32) -> Int {
        max(0, Int(cshims_socket_outstanding(descriptor)))
    }

    func setSendBuffer(descriptor: Int32, bytes: Int) {
        // SO_SNDBUF doubles its value (socket(7)).
        _ = cshims_socket_set_send_buffer(descriptor, Int64(bytes / 2))
    }

    func sendBatch(
        descriptor: Int32, transport: TransportKind,
        _ frames: UnsafeMutableBufferPointer<cshims_gather>
    ) -> Int {
        let count = UInt32(frames.count)
        return transport == .tap
            ? Int(cshims_tap_write_batch(descriptor, frames.baseAddress, count))
            : Int(cshims_socket_send_batch(descriptor, frames.baseAddress, count))
    }

    /// The errno that an event can carry; the sentences of `RingError` are for the start of the
    /// switch.
    private func code(of error: RingError) -> Int32 {
        switch error {
        case .systemCall(_, let code): code
        case .outOfMemory: ENOMEM
        default: EINVAL
        }
    }
}
