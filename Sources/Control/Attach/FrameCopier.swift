// Copies frames between the TAP device and the socket, one thread a direction, a batch at a time.
//
//   uplink:    read() until the device is empty or the batch is full, one sendmmsg(), again
//   downlink:  recvmmsg() of a batch, one write() each (a TAP takes no batches), again
//
// With offload the device has a virtio header before each frame and the socket has none, as between
// a libkrun guest and its switch: on the way out the header is left behind, on the way in it is
// zero, which tells the guest to verify the checksum itself.
//
// Two threads, because a switch that reads slowly must not keep the guest from receiving: a guest
// that cannot receive cannot acknowledge. All memory is taken at the start, and a thread that has
// nothing to do sleeps in poll().
//
// Towards the switch, EAGAIN means that its queue is full. The uplink then waits for POLLOUT and
// keeps the batch: the device's own queue fills meanwhile, which is the back-pressure a network
// card gives its host. The wait is bounded, as the connection may change under it. Without a switch
// the device is read and its frames are dropped and counted, as by a cable that is not plugged in.

import CShimsSystem
import Glibc
import SwitchCore
import Synchronization

/// The guest's data path.
///
/// Thread safety: `start` and `stop` belong to the control thread; the counters may be read by any.
final class FrameCopier {
    let uplinkCounters = CopierCounters()
    let downlinkCounters = CopierCounters()
    private let shared: CopierShared
    private let shape: FrameBatch.Shape
    private let device: Int32
    private let socket: Int32
    private var threads: [pthread_t] = []

    /// - Parameters:
    ///   - device: TAP descriptor, non-blocking; stays the caller's, as `socket` does.
    ///   - socket: connected datagram socket.
    ///   - shape: what passes between the two.
    init(
        device: Int32, socket: Int32, state: JoinState, shape: FrameBatch.Shape
    ) throws(SystemFailure) {
        self.device = device
        self.socket = socket
        self.shape = shape
        shared = try CopierShared(state: state)
    }

    deinit { stop() }

    /// Readable when a thread met something that the control thread has to look at.
    var attentionDescriptor: Int32 { shared.attention }

    /// Quiets `attentionDescriptor`.
    /// - Returns: the errno that ended a thread for good; `nil` while both run.
    func takeAttention() -> Int32? {
        _ = cshims_eventfd_drain(shared.attention)
        let code = shared.failure.load(ordering: .relaxed)
        return code == 0 ? nil : code
    }

    /// Starts both threads.
    func start() throws(SystemFailure) {
        let uplink = try direction(uplinkCounters)
        let downlink = try direction(downlinkCounters)
        threads.append(try Self.startThread(named: "uplink") { uplink.runUplink() })
        threads.append(try Self.startThread(named: "downlink") { downlink.runDownlink() })
    }

    private func direction(_ counters: CopierCounters) throws(SystemFailure) -> CopierDirection {
        CopierDirection(
            frames: try FrameBatch(shape), device: device, socket: socket, counters: counters,
            shared: shared)
    }

    /// Ends both threads and waits for them. Harmless when called again.
    func stop() {
        shared.isStopping.store(true, ordering: .relaxed)
        _ = cshims_eventfd_signal(shared.stop)
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }

    private static func startThread(
        named name: String, _ body: @escaping @Sendable () -> Void
    ) throws(SystemFailure) -> pthread_t {
        final class Box: Sendable {
            let name: String
            let body: @Sendable () -> Void
            init(_ name: String, _ body: @escaping @Sendable () -> Void) {
                self.name = name
                self.body = body
            }
        }
        let box = Unmanaged.passRetained(Box(name, body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let box = Unmanaged<Box>.fromOpaque(context).takeRetainedValue()
                _ = cshims_thread_set_name(box.name)
                box.body()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw SystemFailure(what: "cannot start a thread", code: code)
        }
        return thread
    }
}

/// What both directions and the control thread share.
final class CopierShared: Sendable {
    let state: JoinState
    /// Readable, for ever, once the threads have to end.
    let stop: Int32
    /// Readable when the control thread is wanted.
    let attention: Int32
    let isStopping = Atomic<Bool>(false)
    /// errno that ended a thread; 0 while both run.
    let failure = Atomic<Int32>(0)

    init(state: JoinState) throws(SystemFailure) {
        self.state = state
        stop = try SystemFailure.check(cshims_eventfd_create(), "cannot create an eventfd")
        attention = try SystemFailure.check(cshims_eventfd_create(), "cannot create an eventfd")
    }

    deinit {
        _ = cshims_descriptor_close(stop)
        _ = cshims_descriptor_close(attention)
    }

    /// The connection of `epoch` was refused.
    func reportLoss(of epoch: JoinState.Epoch) {
        if state.end(epoch) { _ = cshims_eventfd_signal(attention) }
    }

    /// A thread cannot go on.
    func reportFailure(code: Int32) {
        failure.store(code, ordering: .relaxed)
        _ = cshims_eventfd_signal(attention)
    }

    /// Sleeps until `descriptor` has one of `events`, the threads have to end, or time is up.
    func wait(for descriptor: Int32, events: Int32, milliseconds: Int32 = -1) {
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { entries in
            entries[0] = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            entries[1] = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
            _ = poll(entries.baseAddress, 2, milliseconds)
        }
    }
}

/// A batch of frames; the memory goes with it.
struct FrameBatch: ~Copyable {
    /// How many frames of which size, in bytes.
    struct Shape {
        let count: UInt32
        let capacity: UInt32
        /// Virtio header before each frame on the device's side; 0 for none.
        let header: UInt32

        /// Frames as the device's MTU makes them. 64 of 1514 bytes stay in the cache.
        static func whole(mtu: Int) -> Shape {
            // The MTU counts neither the frame's own header nor a VLAN tag.
            let capacity = mtu + FrameHeader.lengthMin + FrameHeader.tagLength
            return Shape(count: 64, capacity: UInt32(capacity), header: 0)
        }

        /// Frames of a libkrun guest with offloading, whatever its MTU; 64 of them would be read
        /// from cold memory.
        static let offloaded = Shape(
            count: 16, capacity: UInt32(Offload.superframeLengthMax),
            header: UInt32(CSHIMS_TAP_HEADER_LENGTH))
    }

    let pointer: OpaquePointer

    init(_ shape: Shape) throws(SystemFailure) {
        var pointer: OpaquePointer?
        try SystemFailure.check(
            cshims_frames_create(shape.count, shape.capacity, shape.header, &pointer),
            "cannot take memory for frames")
        guard let pointer else { preconditionFailure("a batch was made without an address") }
        self.pointer = pointer
    }

    deinit { cshims_frames_destroy(pointer) }
}
