// The other end of a port in the simulation: what it sends waits in `outbox`, what it was sent is
// checked and counted.

import Glibc
import Support
import SwitchCore

@testable import Dataplane

/// What a port and its peer agree on.
struct PortShape {
    var offload = Offload.none
    var frameLengthMax = 1518
    /// Longest payload of a segment made for the peer; nil: what `frameLengthMax` leaves.
    var mtu: Int?
    /// The peer waits while its frames do.
    var pauses = false
    /// How frames travel that have no virtio header.
    var socket = TransportKind.unixgram

    /// Frames with a virtio header are a TAP device's.
    var transport: TransportKind { offload.hasHeader ? .tap : socket }
    /// Bytes before each frame.
    var prefix: Int { offload.hasHeader ? VirtioNetHeader.length : 0 }
}

/// A peer with a queue of bounded room that it reads when the test says so.
class SimulatedPeer {
    /// How the peer treats what it is sent.
    enum Mood: Equatable {
        /// Reads everything at once.
        case reading
        /// Reads nothing: takes what its queue holds and then refuses.
        case stuck
        /// Every send fails with this errno.
        case failing(Int32)
    }

    let port: PortID
    let shape: PortShape
    /// What a peer with a stream has of its own.
    let stream: SimulatedStream
    /// Datagrams on their way to the switch, oldest first.
    var outbox: [[UInt8]] = []
    var mood = Mood.reading
    /// Frames that the peer's queue holds while the peer does not read.
    private(set) var capacity: Int
    /// The peer has closed its end; what it had sent before can still be read.
    var hasClosed = false
    /// One send in so many is refused though there is room, as happens between a refusal and the
    /// next; 0: none.
    var whim: UInt64 = 0

    /// A stuck peer that is slow, not dead: it reads one frame after so many sends; 0: none.
    var pace = 0
    private var sendsUntilRead = 0

    private(set) var queued = 0
    private(set) var deliveredCount = 0
    private(set) var deliveredBytes = 0
    /// Numbers of the delivered frames by ingress port.
    private(set) var delivered: [PortID: [UInt32]] = [:]
    private var lastOfFlow: [[UInt8]: UInt32] = [:]
    /// What was wrong with the first delivered frame that was not as it should be; nil: nothing.
    private(set) var fault: String?
    private var generator: SeededGenerator

    init(port: PortID, shape: PortShape, capacity: Int, seed: UInt64) {
        self.port = port
        self.shape = shape
        self.capacity = capacity
        generator = SeededGenerator(seed: seed &* 31 &+ UInt64(port.rawValue))
        stream = SimulatedStream(
            shape.transport.framing ?? .bigEndian32, lengthMax: shape.frameLengthMax,
            seed: seed &* 37 &+ UInt64(port.rawValue))
    }

    /// Whether poll(2) would report room: as the kernel does, when a quarter is taken at most.
    var isWritable: Bool {
        if hasClosed { return true }
        return switch mood {
        case .failing(let errno): errno != EAGAIN
        case .reading: true
        case .stuck: queued <= capacity / 4
        }
    }

    /// Bytes charged for what waits, as if every frame had 1,000 bytes.
    var outstanding: Int { queued * Connection.charge(ofFrame: 1000) }

    /// Bounds the queue, in the same bytes.
    func bound(to bytes: Int) { capacity = max(1, bytes / Connection.charge(ofFrame: 1000)) }

    /// Reads what waits, `count` frames at most.
    func read(_ count: Int = .max) { queued = max(0, queued - min(count, queued)) }

    /// Takes a frame, with what stands before it, as the kernel would: 0 or -errno.
    func offer(_ bytes: [UInt8]) -> Int32 {
        if hasClosed { return -EPIPE }
        if case .failing(let errno) = mood { return -errno }
        readSlowly()
        if mood == .stuck, queued >= capacity { return -EAGAIN }
        if whim > 0, generator.next(upperBound: whim) == 0 { return -EAGAIN }
        if mood == .stuck { queued += 1 }
        deliveredCount += 1
        deliveredBytes += bytes.count - shape.prefix
        if let problem = problem(with: bytes) {
            fault = fault ?? "port \(port) was sent \(problem)"
        }
        return 0
    }

    private func readSlowly() {
        guard pace > 0 else { return }
        sendsUntilRead -= 1
        if sendsUntilRead <= 0 {
            sendsUntilRead = pace
            queued = max(0, queued - 1)
        }
    }

    /// What is wrong with a delivered frame; nil: nothing.
    func problem(with bytes: [UInt8]) -> String? {
        guard bytes.count <= shape.frameLengthMax else { return "\(bytes.count) bytes" }
        guard let frame = SimulatedFrame(delivered: bytes) else {
            return "a damaged frame of \(bytes.count) bytes"
        }
        if frame.ingress == port { return "its own frame" }
        // A flow goes from one station to one other, or to all.
        let flow = Array(bytes[..<12])
        if let last = lastOfFlow[flow], last >= frame.number {
            return "\(frame.number) of \(frame.ingress) after \(last)"
        }
        lastOfFlow[flow] = frame.number
        delivered[frame.ingress, default: []].append(frame.number)
        return nil
    }
}
