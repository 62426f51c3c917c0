// A real data plane with socket pairs for peers.

import CShimsSystem
import Dataplane
import Glibc
import Support
import SwitchCore
import Testing

/// Whether this system has the io_uring that the data plane needs; tests of it are skipped
/// otherwise.
let hasRing: Bool = {
    guard let plane = try? DataPlane(DataPlaneSettings(portCapacity: 2, macLimit: 16), seed: 1)
    else { return false }
    plane.stop()
    return true
}()

/// A data plane, the ends of its ports, and Control's part played by the calling thread.
final class DataPlaneFixture {
    let plane: DataPlane
    private(set) var events: [DataPlaneEvent] = []
    /// The peers' ends by port; -1: not attached.
    private(set) var ends: [Int32]
    private var switchEnds: [Int32]

    /// - Parameter handoverBytes: as `DataPlaneSettings` has it. A test that sends without waiting
    ///   needs room for all of it: the other worker may not run meanwhile.
    init(ports: Int, workers: Int = 1, handoverBytes: Int = 1 << 18) throws {
        plane = try DataPlane(
            DataPlaneSettings(
                workers: workers, portCapacity: ports, macLimit: 1024,
                handoverBytes: handoverBytes),
            seed: 7)
        ends = Array(repeating: -1, count: ports)
        switchEnds = ends
    }

    static func station(_ port: Int) -> MACAddress { Support.station(port + 1) }

    /// A frame from the station of a port to that of another, or to all.
    static func frame(from port: Int, to destination: Int?, length: Int = 100) -> [UInt8] {
        FrameBuilder(
            destination: destination.map(station) ?? .broadcast, source: station(port),
            length: length
        ).bytes
    }

    func attach(
        _ port: Int, transport: TransportKind = .unixgram, offload: Offload = .none,
        frameLengthMax: Int = 1518,
        sendBuffer: Int32 = 1 << 20, queueBytes: Int = 1 << 18, queueDelay: UInt64 = 5_000_000,
        pauses: Bool = false, earlyFrames: [[UInt8]] = [], waitingFrames: [WaitingFrame] = [],
        streamPosition: StreamPosition? = nil
    ) throws {
        var pair: [Int32] = [-1, -1]
        let sort =
            switch transport {
            case .stream, .vpnkit: SOCK_STREAM
            case .seqpacket: SOCK_SEQPACKET
            case .unixgram, .tap: SOCK_DGRAM
            }
        let type = Int32(sort.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        for descriptor in pair {
            var size = sendBuffer
            setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
        }
        try attach(
            pair,
            ConnectionSettings(
                port: PortID(index: port), transport: transport, descriptor: pair[0],
                frameLengthMax: frameLengthMax, offload: offload, queueBytes: queueBytes,
                queueDelayNanoseconds: queueDelay, pausesOnCongestion: pauses,
                earlyFrames: earlyFrames, waitingFrames: waitingFrames,
                streamPosition: streamPosition))
    }

    /// Attaches one end of a socket pair, whose other end is the peer's; both are closed in the
    /// end.
    func attach(_ pair: [Int32], _ settings: ConnectionSettings) throws {
        (switchEnds[settings.port.index], ends[settings.port.index]) = (pair[0], pair[1])
        try plane.attach(settings)
    }

    /// Closes the peer's end alone.
    func hangUp(_ port: Int) {
        closeForGood(ends[port])
        ends[port] = -1
    }

    /// Detaches a port and waits until its descriptor may be closed.
    func detach(_ port: Int) throws {
        try retire(port)
        closeEnds(port)
    }

    private func retire(_ port: Int) throws {
        plane.detach(port: PortID(index: port))
        let before = events.count
        try wait("port \(port) retired") {
            self.events[before...].contains { $0.kind == .retired && $0.port.index == port }
        }
    }

    /// Detaches a port for somebody else to attach its socket pair.
    func giveAway(_ port: Int) throws -> [Int32] {
        try retire(port)
        defer { (switchEnds[port], ends[port]) = (-1, -1) }
        return [switchEnds[port], ends[port]]
    }

    /// Closes the ends of a port whose retirement has been seen already.
    func closeEnds(_ port: Int) {
        close(switchEnds[port])
        if ends[port] >= 0 { close(ends[port]) }
        (switchEnds[port], ends[port]) = (-1, -1)
    }

    func stop() throws {
        for port in ends.indices where switchEnds[port] >= 0 { try detach(port) }
        try wait("the last tables reclaimed") { !self.isWaiting }
        plane.stop()
    }

    private var isWaiting = false

    /// Handles events until `condition` holds.
    func wait(_ what: String, seconds: Int = 30, until condition: () -> Bool) throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        while true {
            isWaiting = plane.drainEvents { events.append($0) }
            if condition() { return }
            try #require(clock.now < end, "waited in vain for: \(what)")
            var poll = pollfd(fd: plane.eventDescriptor, events: Int16(POLLIN), revents: 0)
            // A grace period has no descriptor, so there is nothing to wait on.
            if isWaiting { yieldProcessor() } else { _ = Glibc.poll(&poll, 1, 1) }
        }
    }

    /// Has every worker take a whole turn, with the newest table and all that had arrived before.
    ///
    /// Until then one that has been attached, and forwards, may not know the others.
    func passTurns() throws {
        let workers = (0..<plane.settings.workers).map { plane.counters.workerBlock($0) }
        let before = workers.map { $0[.turns] }
        try wait("every worker takes a turn") {
            plane.wakeWorkers()
            // One that is under way may be past its table, the next past its completions.
            return zip(workers, before).allSatisfy { $0[.turns] >= $1 + 3 }
        }
    }

    /// Sends as a port's peer, and waits for room where there is none.
    func sendPatiently(_ bytes: [UInt8], from port: Int) throws {
        try wait("room for a frame") { send(bytes, from: port) }
    }

    /// Sends as a port's peer; false when the socket is full.
    func send(_ bytes: [UInt8], from port: Int) -> Bool {
        Glibc.send(ends[port], bytes, bytes.count, Int32(MSG_DONTWAIT)) == bytes.count
    }

    /// Sends a part of a stream as a port's peer; returns how much of it.
    func write(_ bytes: ArraySlice<UInt8>, from port: Int) -> Int {
        let count = bytes.withUnsafeBytes {
            Glibc.send(ends[port], $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
        }
        return max(0, count)
    }

    /// What a port's peer receives next, waiting a while for it; nil: nothing came.
    func receive(_ port: Int, milliseconds: Int32 = 30_000) -> [UInt8]? {
        var poll = pollfd(fd: ends[port], events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, milliseconds) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = recv(ends[port], &buffer, buffer.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : Array(buffer[..<count])
    }

    /// Waits until every frame that was sent has come in, and is accounted for.
    ///
    /// Equal books at two moments tell nothing of a worker that did not run in between. So nothing
    /// may wait in a socket of the switch, and then turns pass in which nothing is counted.
    func expectBalance(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let end = ContinuousClock.now + .seconds(60)
        var books: CounterSnapshot
        repeat {
            try #require(ContinuousClock.now < end, "traffic does not come to rest")
            try wait("everything that was sent is taken") { !self.hasUnreadBytes }
            books = plane.counters.snapshot()
            try passTurns()
        } while hasUnreadBytes || !plane.counters.snapshot().hasSameFrames(as: books)
        #expect(books.isBalanced, sourceLocation: sourceLocation)
    }

    /// Whether something lies in a socket of the switch.
    var hasUnreadBytes: Bool {
        switchEnds.contains { descriptor in
            var count: Int32 = 0
            return descriptor >= 0 && ioctl(descriptor, UInt(FIONREAD), &count) == 0 && count > 0
        }
    }
}

extension CounterSnapshot {
    /// Whether both count the same but for what workers count where there are no frames.
    fileprivate func hasSameFrames(as other: CounterSnapshot) -> Bool {
        Counter.allCases.allSatisfy {
            $0 == .turns || $0 == .wakeups || self[$0] == other[$0]
        } && DropReason.allCases.allSatisfy { self[dropped: $0] == other[dropped: $0] }
    }
}

/// How many descriptors the process has open.
func openDescriptorCount() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}
