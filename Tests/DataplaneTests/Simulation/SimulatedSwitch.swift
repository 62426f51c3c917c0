// A data plane whose kernel, clock and threads are played by the test: it does what `DataPlane`
// does for its workers, and decides which worker takes its turn.

import Glibc
import IORing
import Support
import SwitchCore
import Testing

@testable import Dataplane

final class SimulatedSwitch {
    struct Options {
        var workers = 1
        var ports = 4
        var seed: UInt64 = 1
        var queueBytes = 16 * 1024
        var queueDelay: UInt64 = 5_000_000
        var queueDiscipline = QueueDiscipline.fair(target: 1_000_000)
        /// By port; none: all are as `PortShape` has it.
        var shapes: [PortShape] = []
        var handoverBytes = 1 << 16
        var busyPoll: UInt64 = 0
        /// Frames that a peer's queue holds while the peer does not read.
        var peerCapacity = 8

        func shape(_ port: Int) -> PortShape { shapes.isEmpty ? PortShape() : shapes[port] }
    }

    private final class OldTable {
        private var table: Retired<ConnectionTable>?
        let token: GracePeriod.Token
        init(_ table: consuming Retired<ConnectionTable>, _ token: GracePeriod.Token) {
            self.table = consume table
            self.token = token
        }
        func reclaim() { table.take()?.reclaim() }
    }

    let options: Options
    let context: WorkerContext
    private(set) var kernels: [SimulatedKernel] = []
    let peers: [SimulatedPeer]
    /// Frames given to the peers to send, by port.
    private(set) var injected: [Int]
    private(set) var events: [DataPlaneEvent] = []
    private(set) var connections: [UnsafeMutablePointer<Connection>?]
    private var numbers: [UInt32]
    private let workers: UnsafeMutablePointer<Worker<SimulatedBackend>>
    private var tables: [OldTable] = []
    private var retired: [(UnsafeMutablePointer<Connection>, GracePeriod.Token, PortID)] = []
    private var entries: [PortEntry]
    private var generations: [UInt32]
    private var version: UInt64 = 0
    private(set) var faults: [String] = []

    /// - Parameter makePeer: makes the peer of a port; nil: one that knows `SimulatedFrame` alone.
    init(_ options: Options, makePeer: ((PortID) -> SimulatedPeer)? = nil) throws {
        self.options = options
        let seed = options.seed
        let peers = (0..<options.ports).map { index in
            let port = PortID(index: index)
            return makePeer?(port)
                ?? SimulatedPeer(
                    port: port, shape: options.shape(index), capacity: options.peerCapacity,
                    seed: seed)
        }
        self.peers = peers
        injected = Array(repeating: 0, count: options.ports)
        numbers = Array(repeating: 0, count: options.ports)
        connections = Array(repeating: nil, count: options.ports)
        entries = Array(repeating: PortEntry(), count: options.ports)
        generations = Array(repeating: 0, count: options.ports)
        context = try WorkerContext(
            workerCount: options.workers, portCapacity: options.ports,
            busyPollNanoseconds: options.busyPoll,
            macTable: MACTable(
                limit: 1024, portCapacity: options.ports, ageingTicks: 300, seed: seed),
            handoverBytes: options.handoverBytes, eventWake: try Wake())
        workers = .allocate(capacity: options.workers)
        // A descriptor of the simulation is 100 and the number of the port.
        let find: (Int32) -> SimulatedPeer? = { peers[Int($0) - 100] }
        for index in 0..<options.workers {
            let kernel = SimulatedKernel(
                seed: seed &+ UInt64(index) &* 77, wakeDescriptor: context.wakes[index].descriptor,
                peers: find)
            kernels.append(kernel)
            let backend = SimulatedBackend(kernel: kernel, peers: find)
            _ = backend.armWake()
            (workers + index).initialize(
                to: Worker(index: index, context: context, backend: backend))
            context.gracePeriod.online(index)
        }
    }

    deinit {
        // Reached with connections left only when a test has failed already.
        guard connections.allSatisfy({ $0 == nil }) else { return }
        for index in 0..<options.workers { context.gracePeriod.offline(index) }
        workers.deinitialize(count: options.workers)
        workers.deallocate()
        for table in tables { table.reclaim() }
        context.deallocate()
    }

    var clock: UInt64 { kernels[0].clock }
    func owner(_ port: Int) -> Int { port % options.workers }
    func kernel(of port: Int) -> SimulatedKernel { kernels[owner(port)] }
    func counters(_ port: Int) -> CounterBlock { context.counters.block(port: PortID(index: port)) }
    func isCareful(_ port: Int) -> Bool { connections[port]?.pointee.pace == .careful }
    func isPolled(_ port: Int) -> Bool { connections[port]?.pointee.pollArmed == true }
    func usedBytes(_ port: Int) -> Int { connections[port]?.pointee.queue.usedBytes ?? 0 }
    func isPaused(_ port: Int) -> Bool { connections[port]?.pointee.isPaused == true }
    func lastRefusal(_ port: Int) -> UInt64 { connections[port]?.pointee.lastRefusal ?? 0 }
    func isAttached(_ port: Int) -> Bool { entries[port].isAttached }

    func advance(_ nanoseconds: UInt64) {
        for kernel in kernels { kernel.clock += nanoseconds }
    }

    // MARK: Control's part

    func attach(_ port: Int, earlyFrames: [[UInt8]] = []) throws {
        precondition(connections[port] == nil)
        generations[port] += 1
        let shape = options.shape(port)
        let settings = ConnectionSettings(
            port: PortID(index: port), transport: shape.transport, descriptor: Int32(100 + port),
            frameLengthMax: shape.frameLengthMax, mtu: shape.mtu, offload: shape.offload,
            sendBuffer: shape.transport == .tap
                ? 0 : peers[port].capacity * Connection.charge(ofFrame: 1000),
            queueBytes: options.queueBytes, queueDiscipline: options.queueDiscipline,
            queueSeed: options.seed, queueDelayNanoseconds: options.queueDelay,
            pausesOnCongestion: shape.pauses, earlyFrames: earlyFrames)
        let connection = UnsafeMutablePointer<Connection>.allocate(capacity: 1)
        connection.initialize(
            to: try Connection(
                settings, generation: generations[port], counters: counters(port)))
        connections[port] = connection
        entries[port] = PortEntry(
            generation: generations[port], isAttached: true, worker: UInt16(owner(port)),
            maxFrame: Int32(shape.frameLengthMax), offload: shape.offload,
            attachment: UInt(bitPattern: connection))
        publish()
    }

    func detach(_ port: Int) {
        guard entries[port].isAttached else { return }
        entries[port].isAttached = false
        entries[port].attachment = 0
        publish()
        context.macTable.flush(port: PortID(index: port))
    }

    /// Has the workers rest at a level, or go on.
    func hold(_ level: Hold) {
        for worker in context.resting { worker.level = .none }
        context.hold.level = level
        publish()
    }

    /// Whether every worker rests at the level that was asked for.
    var isAtRest: Bool { context.resting.allSatisfy { $0.level == context.hold.level } }

    private func publish() {
        version += 1
        let old = context.table.publish(ConnectionTable(version: version, entries: entries))
        tables.append(OldTable(old, context.gracePeriod.start()))
        for wake in context.wakes { wake.signal() }
    }

    /// Takes the workers' events, and frees what nobody can reach any more.
    func collect() {
        for queue in context.events {
            queue.drain { event in
                events.append(event)
                guard event.kind == .retired, let connection = connections[event.port.index],
                    connection.pointee.generation == event.generation
                else { return }
                retired.append((connection, context.gracePeriod.start(), event.port))
            }
        }
        while let first = tables.first, context.gracePeriod.isOver(first.token) {
            first.reclaim()
            tables.removeFirst()
        }
        while let (connection, token, port) = retired.first, context.gracePeriod.isOver(token) {
            retired.removeFirst()
            let wasOpen = connection.pointee.state == .retired
            if wasOpen, connection.pointee.isOpen, !connection.pointee.buffers.isPoisonIntact() {
                faults.append("the pool of port \(port) was written to after its retirement")
            }
            connections[port.index] = nil
            peers[port.index].stream.reset()
            peers[port.index].hasClosed = false
            chargeEarlyFrames(of: connection)
            connection.deinitialize(count: 1)
            connection.deallocate()
        }
    }

    /// Counts the frames of a handshake whose connection never forwarded them.
    private func chargeEarlyFrames(of connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.hasEarlyFrames else { return }
        let block = context.counters.controlBlock(port: connection.pointee.port)
        for frame in connection.pointee.earlyFrames {
            block.add(.receivedFrames)
            block.add(.receivedBytes, UInt64(frame.length))
            block.add(dropped: .portRemoved)
        }
    }

    // MARK: The peers' part

    /// Builds the next frame of a port; the caller hands it over somehow.
    func frame(from port: Int, to destination: Int?, length: Int) -> [UInt8] {
        numbers[port] += 1
        injected[port] += 1
        return SimulatedFrame(
            from: PortID(index: port),
            to: destination.map { SimulatedFrame.station(PortID(index: $0)) } ?? .broadcast,
            number: numbers[port], length: length
        ).bytes
    }

    /// Lets a port's peer send a frame to the station behind a port, or to all.
    func send(from port: Int, to destination: Int?, length: Int = 100) {
        peers[port].outbox.append(frame(from: port, to: destination, length: length))
    }

    /// Lets every station be learned, as seen by no other.
    func learnStations() {
        for port in 0..<options.ports {
            _ = context.macTable.learn(
                source: SimulatedFrame.station(PortID(index: port)), vlan: 0,
                port: PortID(index: port), now: UInt32(clock / 1_000_000_000))
        }
    }

    /// Lets a port's peer send bytes that are no frame of the simulation.
    func send(from port: Int, raw bytes: [UInt8]) {
        injected[port] += 1
        peers[port].outbox.append(bytes)
    }

    // MARK: Turns

    func turn(_ worker: Int = 0) {
        workers[worker].turn()
        checkQueues()
        collect()
    }

    /// Takes turns in random order until nothing is left to do; the clock moves only where a worker
    /// waits for it.
    func settle(_ generator: inout SeededGenerator, limit: Int = 5000) {
        var idle = Array(repeating: 0, count: options.workers)
        for _ in 0..<limit {
            let ready = (0..<options.workers).filter { isReady($0) || idle[$0] == 0 }
            guard let worker = ready.randomElement(using: &generator) else {
                guard advanceToTimeout() else { return }
                idle = Array(repeating: 0, count: options.workers)
                continue
            }
            turn(worker)
            let isBusy = kernels[worker].lastWait == .none
            idle[worker] = isBusy ? 0 : 1
        }
        faults.append("the workers do not come to rest")
    }

    func settle() {
        var generator = SeededGenerator(seed: options.seed)
        settle(&generator)
    }

    private func isReady(_ worker: Int) -> Bool {
        if kernels[worker].hasWork { return true }
        var poll = pollfd(
            fd: context.wakes[worker].descriptor, events: Int16(POLLIN), revents: 0)
        if Glibc.poll(&poll, 1, 0) > 0 { return true }
        return (0..<options.workers).contains {
            context.handover(from: $0, to: worker)?.isEmpty == false
        }
    }

    private func advanceToTimeout() -> Bool {
        let timeouts = kernels.compactMap { kernel -> Int64? in
            if case .upTo(let time) = kernel.lastWait { return time }
            return nil
        }
        guard let first = timeouts.min() else { return false }
        advance(UInt64(max(first, 1)))
        return true
    }

    private func checkQueues() {
        for case let connection? in connections {
            let used = connection.pointee.queue.usedBytes
            if used > connection.pointee.queue.capacity || connection.pointee.queue.byteCount > used
            {
                faults.append("the queue of port \(connection.pointee.port) is out of bounds")
            }
            if connection.pointee.carefulCount > 0 {
                faults.append("frames for port \(connection.pointee.port) outlived their turn")
            }
            checkPause(connection)
        }
        // With several workers some may be in a ring between two.
        guard options.workers == 1 else { return }
        let counted = connections.reduce(0) { $0 + ($1?.pointee.queue.countedFrames ?? 0) }
        let waiting = (0..<options.ports).reduce(0) {
            $0 + context.backlog.waiting(of: PortID(index: $1))
        }
        if counted != waiting { faults.append("\(counted) counted frames wait, not \(waiting)") }
    }

    private func checkPause(_ connection: UnsafeMutablePointer<Connection>) {
        let port = connection.pointee.port
        let waiting = context.backlog.waiting(of: port)
        let crossing = context.backlog.crossing(of: port)
        if waiting < 0 || crossing < 0 {
            faults.append("\(waiting) frames of port \(port) wait, and \(crossing) cross")
        }
        let isShown = context.counters.block(port: port)[.pausedPorts] == 1
        if connection.pointee.isPaused != isShown {
            faults.append("port \(port) is shown as paused: \(isShown)")
        }
        guard connection.pointee.isPaused else { return }
        if connection.pointee.receiveArmed { faults.append("port \(port) is paused and receives") }
        if waiting == 0, options.workers == 1 {
            faults.append("port \(port) is paused for nothing")
        }
    }

    // MARK: What must hold

    /// Everything that must hold when nothing is in motion.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) {
        let seed = Comment(rawValue: "seed \(options.seed)")
        #expect(faults == [], seed, sourceLocation: sourceLocation)
        for kernel in kernels {
            #expect(kernel.fault == nil, seed, sourceLocation: sourceLocation)
        }
        let sum = context.counters.snapshot()
        #expect(
            sum.isBalanced,
            """
            seed \(options.seed): \(sum[.receivedFrames]) + \(sum[.floodCopies]) \
            != \(sum[.sentFrames]) + \(sum.dropped) + \(sum.waiting)
            """,
            sourceLocation: sourceLocation)
        for (port, peer) in peers.enumerated() {
            #expect(peer.fault == nil, seed, sourceLocation: sourceLocation)
            let counters = context.counters.snapshot(port: PortID(index: port))
            #expect(
                counters[.sentFrames] == UInt64(peer.deliveredCount), seed,
                sourceLocation: sourceLocation)
            #expect(
                counters[.sentBytes] == UInt64(peer.deliveredBytes), seed,
                sourceLocation: sourceLocation)
            // A frame that the peer sent but nobody took yet is not the switch's, nor is one of a
            // handshake whose connection is on its way in or out.
            let early = connections[port].map {
                $0.pointee.hasEarlyFrames ? $0.pointee.earlyFrames.count : 0
            }
            #expect(
                Int(counters[.receivedFrames]) + peer.outbox.count + (early ?? 0)
                    == injected[port] - uncountedInStream(port),
                "seed \(options.seed), port \(port)", sourceLocation: sourceLocation)
        }
    }

    /// Frames that a peer wrote into its stream and the switch has not counted: what it has not cut
    /// up yet, what came behind an announcement of no frame at all, and that. Below zero where
    /// there are frames to be passed over of which the end is still to come.
    private func uncountedInStream(_ port: Int) -> Int {
        guard options.shape(port).transport.framing != nil else { return 0 }
        let stream = peers[port].stream
        let waiting = connections[port]?.pointee.stream?.pointee.receiver.remainder.received ?? []
        return stream.givenFrames - stream.countedFrames + stream.frameCount(of: waiting)
    }

    /// Detaches everything and expects that it all comes back.
    func shutDown(sourceLocation: SourceLocation = #_sourceLocation) {
        for port in 0..<options.ports { detach(port) }
        settle()
        for worker in 0..<options.workers { turn(worker) }
        collect()
        #expect(
            connections.allSatisfy { $0 == nil }, "seed \(options.seed): a port was not retired",
            sourceLocation: sourceLocation)
        #expect(tables.isEmpty, "seed \(options.seed)", sourceLocation: sourceLocation)
        for port in 0..<options.ports {
            let id = PortID(index: port)
            #expect(
                context.backlog.waiting(of: id) == 0 && context.backlog.crossing(of: id) == 0,
                "seed \(options.seed)", sourceLocation: sourceLocation)
            #expect(counters(port)[.pausedPorts] == 0, sourceLocation: sourceLocation)
        }
        expectSound(sourceLocation: sourceLocation)
        #expect(
            context.counters.snapshot()[.queuedFrames] == 0, sourceLocation: sourceLocation)
    }
}
