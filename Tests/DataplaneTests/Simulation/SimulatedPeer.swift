// The other end of a port in the simulation: what it sends waits in `outbox`, what it was sent is
// checked and counted.

import Glibc
import Support
import SwitchCore

/// A peer with a queue of bounded room that it reads when the test says so.
final class SimulatedPeer {
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
    /// Datagrams on their way to the switch, oldest first.
    var outbox: [[UInt8]] = []
    var mood = Mood.reading
    /// Frames that the peer's queue holds while the peer does not read.
    let capacity: Int
    /// One send in so many is refused though there is room, as happens between a refusal and the
    /// next; 0: none.
    var whim: UInt64 = 0

    private(set) var queued = 0
    private(set) var deliveredCount = 0
    private(set) var deliveredBytes = 0
    /// Numbers of the delivered frames by ingress port.
    private(set) var delivered: [PortID: [UInt32]] = [:]
    /// What was wrong with a delivered frame; nil: nothing.
    private(set) var fault: String?
    private var generator: SeededGenerator

    init(port: PortID, capacity: Int, seed: UInt64) {
        self.port = port
        self.capacity = capacity
        generator = SeededGenerator(seed: seed &* 31 &+ UInt64(port.rawValue))
    }

    /// Whether poll(2) would report room: as the kernel does, when a quarter is taken at most.
    var isWritable: Bool {
        switch mood {
        case .failing(let errno): errno != EAGAIN
        case .reading: true
        case .stuck: queued <= capacity / 4
        }
    }

    /// Reads everything that waits.
    func read() { queued = 0 }

    /// Takes a frame as the kernel would: 0 or -errno.
    func offer(_ bytes: [UInt8], frameLengthMax: Int) -> Int32 {
        if case .failing(let errno) = mood { return -errno }
        if mood == .stuck, queued >= capacity { return -EAGAIN }
        if whim > 0, generator.next(upperBound: whim) == 0 { return -EAGAIN }
        if mood == .stuck { queued += 1 }
        check(bytes, frameLengthMax: frameLengthMax)
        return 0
    }

    private func check(_ bytes: [UInt8], frameLengthMax: Int) {
        deliveredCount += 1
        deliveredBytes += bytes.count
        guard bytes.count <= frameLengthMax else {
            fault = fault ?? "port \(port) was sent \(bytes.count) bytes"
            return
        }
        guard let frame = SimulatedFrame(delivered: bytes) else {
            fault = fault ?? "port \(port) was sent a damaged frame of \(bytes.count) bytes"
            return
        }
        if frame.ingress == port { fault = fault ?? "port \(port) was sent its own frame" }
        let last = delivered[frame.ingress]?.last
        if let last, last >= frame.number {
            fault =
                fault ?? "port \(port) was sent \(frame.number) of \(frame.ingress) after \(last)"
        }
        delivered[frame.ingress, default: []].append(frame.number)
    }
}
