// The data plane as Control sees it: workers that can be started and stopped, and connections that
// come and go.
//
// Removing a connection has two conditions. Its owner cancels every request, reaps the last
// completion of each and says `retired`; and every worker passes a quiescent state, so that none
// still reads a table that names it. Only after both does `drainEvents` report the retirement, and
// Control may close the descriptor.

internal import CShimsSystem
internal import Glibc
internal import IORing
public import SwitchCore

/// What the data plane is made with.
public struct DataPlaneSettings: Sendable {
    /// Threads that forward, each with a ring and ports of its own.
    public var workers: Int
    /// CPUs to pin the workers to; empty: the system decides.
    public var processors: [Int]
    /// Most ports that can ever exist at one time.
    public var portCapacity: Int
    /// Most MAC addresses in the table.
    public var macLimit: Int
    /// Ageing time of the MAC table, seconds.
    public var macAgeingSeconds: UInt32
    /// Time for which a worker looks for work before it sleeps, nanoseconds; 0: it sleeps at once.
    public var busyPollNanoseconds: UInt64
    /// Bytes of each ring between two workers, a power of two.
    public var handoverBytes: Int
    /// An empty file of memory for the counters, so that they outlive the process; nil: they lie in
    /// memory of its own. Stays the caller's.
    public var counterFile: Int32?

    /// Settings with the defaults of the configuration.
    public init(
        workers: Int = 1, processors: [Int] = [], portCapacity: Int = 1024, macLimit: Int = 16384,
        macAgeingSeconds: UInt32 = 300, busyPollNanoseconds: UInt64 = 0,
        handoverBytes: Int = 4 << 20, counterFile: Int32? = nil
    ) {
        self.workers = workers
        self.processors = processors
        self.portCapacity = portCapacity
        self.macLimit = macLimit
        self.macAgeingSeconds = macAgeingSeconds
        self.busyPollNanoseconds = busyPollNanoseconds
        self.handoverBytes = handoverBytes
        self.counterFile = counterFile
    }
}

/// Why the data plane refuses something; the text is for people.
public struct DataPlaneError: Error, CustomStringConvertible, Sendable {
    /// One sentence or more.
    public let description: String
}

/// The workers of a switch and the table that they share.
///
/// Thread-safety: not Sendable; all calls come from one actor of Control. Counters and the MAC
/// table may be read from anywhere.
public final class DataPlane {
    /// What it was made with.
    public let settings: DataPlaneSettings
    /// Readable when `drainEvents` has something to report.
    public let eventDescriptor: Int32
    /// Every counter of the switch.
    public var counters: CounterTable { context.counters }
    /// The MAC table that the workers share.
    public var macTable: MACTable { context.macTable }

    let context: WorkerContext
    private let eventWake: Wake
    private var threads: [WorkerThread] = []
    private var entries: [PortEntry] = []
    private var version: UInt64 = 0
    private var generations: [UInt32]
    private var connections: [UnsafeMutablePointer<Connection>?]
    /// Connections whose owner let go of them, waiting for a grace period.
    private var retired: [RetiredConnection] = []
    /// Tables no longer published, oldest first, waiting for a grace period.
    private var tables: [RetiredTable] = []

    private struct RetiredConnection {
        let connection: UnsafeMutablePointer<Connection>
        let event: DataPlaneEvent
        let token: GracePeriod.Token
    }

    /// A box, as an array cannot hold what cannot be copied.
    private final class RetiredTable {
        private var table: Retired<ConnectionTable>?
        let token: GracePeriod.Token

        init(_ table: consuming Retired<ConnectionTable>, token: GracePeriod.Token) {
            self.table = consume table
            self.token = token
        }

        func reclaim() { table.take()?.reclaim() }
    }

    /// Starts the workers.
    public init(_ settings: DataPlaneSettings, seed: UInt64) throws(DataPlaneError) {
        self.settings = settings
        generations = Array(repeating: 0, count: settings.portCapacity)
        connections = Array(repeating: nil, count: settings.portCapacity)
        do throws(RingError) {
            try Ring.probe()
            eventWake = try Wake()
            eventDescriptor = eventWake.descriptor
            context = try WorkerContext(
                workerCount: settings.workers, portCapacity: settings.portCapacity,
                busyPollNanoseconds: settings.busyPollNanoseconds,
                macTable: MACTable(
                    limit: settings.macLimit, portCapacity: settings.portCapacity,
                    ageingTicks: settings.macAgeingSeconds, seed: seed),
                handoverBytes: settings.handoverBytes, eventWake: eventWake,
                counterMemory: try Self.counterMemory(settings))
        } catch {
            throw DataPlaneError(description: "\(error)")
        }
        try startWorkers()
    }

    /// Memory that is shared with whoever holds the file. It is never given back: counters are read
    /// as long as the process lives.
    private static func counterMemory(
        _ settings: DataPlaneSettings
    ) throws(RingError) -> UnsafeMutableRawPointer? {
        guard let file = settings.counterFile else { return nil }
        let length = CounterTable.byteCount(
            portCapacity: settings.portCapacity, workerCount: settings.workers)
        guard ftruncate(file, off_t(length)) == 0 else {
            throw .systemCall("ftruncate", errno)
        }
        let memory = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        guard let memory, memory != MAP_FAILED else { throw .systemCall("mmap", errno) }
        return memory
    }

    private func startWorkers() throws(DataPlaneError) {
        do throws(RingError) {
            for index in 0..<settings.workers {
                threads.append(
                    try WorkerThread(
                        index: index, context: context,
                        processor: settings.processors.isEmpty ? nil : settings.processors[index]))
            }
        } catch {
            stop()
            guard error == .systemCall("pthread_create", EAGAIN) else {
                throw DataPlaneError(description: "\(error)")
            }
            throw DataPlaneError(
                description: "cannot start the thread of a worker: the limit of processes is "
                    + "reached; raise it with `ulimit -u`, or TasksMax= in a systemd unit")
        }
    }

    /// The worker that owns a port, in both directions.
    public func worker(of port: PortID) -> Int { port.index % settings.workers }

    /// Attaches a peer; frames flow as soon as the owner has taken its next turn.
    /// - Returns: the generation of the connection, which its events carry.
    /// - Precondition: the port has no connection, and the `retired` event of the one before has
    ///   been drained.
    @discardableResult
    public func attach(_ settings: ConnectionSettings) throws(DataPlaneError) -> UInt32 {
        let index = settings.port.index
        precondition(connections[index] == nil, "port \(index) has a connection already")
        let generation = generations[index] &+ 1
        let connection = UnsafeMutablePointer<Connection>.allocate(capacity: 1)
        do throws(RingError) {
            connection.initialize(
                to: try Connection(
                    settings, generation: generation, counters: counters.block(port: settings.port))
            )
        } catch {
            connection.deallocate()
            throw DataPlaneError(description: "\(error)")
        }
        let unqueued = UInt64(connection.pointee.unqueuedFrames)
        counters.controlBlock(port: settings.port).add(dropped: .queueFull, unqueued)
        generations[index] = generation
        connections[index] = connection
        while entries.count <= index { entries.append(PortEntry()) }
        entries[index] = PortEntry(
            generation: generation, isAttached: true, worker: UInt16(worker(of: settings.port)),
            maxFrame: Int32(settings.frameLengthMax), floodEligible: true,
            offload: settings.offload, floodRate: settings.floodRate,
            attachment: UInt(bitPattern: connection))
        publish()
        return generation
    }

    /// Begins to detach a peer; `retired` follows. Does nothing for a port without a connection.
    public func detach(port: PortID) {
        guard port.index < entries.count, entries[port.index].isAttached else { return }
        entries[port.index].isAttached = false
        entries[port.index].attachment = 0
        publish()
        macTable.flush(port: port)
    }

    /// Changes a port's entry in the table, leaves something for the owner of its connection, both
    /// of which `body` does, and has the owner look.
    func changeConnection(
        of port: PortID, _ body: (UnsafeMutablePointer<Connection>, inout PortEntry) -> Void
    ) {
        guard port.index < entries.count, entries[port.index].isAttached,
            let connection = connections[port.index]
        else { return }
        body(connection, &entries[port.index])
        publish()
    }

    /// The connection of a port, for Control to look at where its owner does not change it.
    func connection(of port: PortID) -> UnsafeMutablePointer<Connection>? {
        connections[port.index]
    }

    /// Has every worker take a turn, whether there is something to do or not.
    public func wakeWorkers() {
        for wake in context.wakes { wake.signal() }
    }

    /// Reports what the workers have to say, and frees what nobody can reach any more.
    /// - Returns: true while something still waits for a grace period: call again soon.
    public func drainEvents(_ body: (DataPlaneEvent) -> Void) -> Bool {
        _ = cshims_eventfd_drain(eventDescriptor)
        for queue in context.events {
            queue.drain { event in
                guard event.kind == .retired, let connection = connections[event.port.index] else {
                    body(event)
                    return
                }
                // The tables that named the connection were replaced before its owner let go of it.
                let token = context.gracePeriod.start()
                retired.append(
                    RetiredConnection(connection: connection, event: event, token: token))
            }
        }
        while let first = tables.first, context.gracePeriod.isOver(first.token) {
            first.reclaim()
            tables.removeFirst()
        }
        while let first = retired.first, context.gracePeriod.isOver(first.token) {
            retired.removeFirst()
            // A turn that began before the detachment may have learned after its flush.
            macTable.flush(port: first.event.port)
            connections[first.event.port.index] = nil
            chargeEarlyFrames(of: first.connection)
            chargeInheritance(of: first.connection)
            first.connection.deinitialize(count: 1)
            first.connection.deallocate()
            body(first.event)
        }
        return !retired.isEmpty || !tables.isEmpty
    }

    /// Counts the frames that came with the handshake of a connection that never forwarded them.
    private func chargeEarlyFrames(of connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.hasEarlyFrames else { return }
        let block = counters.controlBlock(port: connection.pointee.port)
        for position in connection.pointee.earlyFrames.indices {
            block.add(
                received: connection.pointee.earlyFrames[position].length, dropped: .portRemoved)
        }
    }

    /// Counts what a predecessor had left to a connection that came and went between two turns of
    /// its owner.
    private func chargeInheritance(of connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.state == .new else { return }
        let block = counters.controlBlock(port: connection.pointee.port)
        let waiting = connection.pointee.queue.frameCount + (connection.pointee.hasRest ? 1 : 0)
        block.add(dropped: .portRemoved, UInt64(waiting))
        connection.pointee.stream?.pointee.dropReceived(block)
    }

    /// Ends the workers. Every connection must have been detached and its `retired` event drained.
    public func stop() {
        precondition(connections.allSatisfy { $0 == nil }, "a connection is still attached")
        for thread in threads { thread.stop() }
        threads.removeAll()
        for table in tables { table.reclaim() }
        tables.removeAll()
        context.deallocate()
    }

    func publish() {
        version += 1
        let replaced = context.table.publish(ConnectionTable(version: version, entries: entries))
        tables.append(RetiredTable(replaced, token: context.gracePeriod.start()))
        for wake in context.wakes { wake.signal() }
    }
}
