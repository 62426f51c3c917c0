// Settings that change while a peer stays attached.
//
// Control makes what the change needs, a queue of the new size included, leaves its address in the
// connection and publishes the next version of the table, which makes the owner reconcile: it takes
// the address, moves the frames that wait into the new queue and frees the old one. A change that
// the owner has not taken yet is replaced by the next.
//
// Memory ordering: Control exchanges the address with release, after the change is whole; the owner
// takes it by an exchange with acquire. Whoever takes an address out frees it, so each is freed
// once. The connection is alive meanwhile: Control frees it only after its retirement.

public import SwitchCore
internal import Synchronization

/// What may change on a connection without detaching its peer.
public struct LiveSettings: Sendable, Equatable {
    /// Most bytes that may wait in the socket, as the kernel charges them and has granted them;
    /// nil: as before.
    public var sendBuffer: Int?
    /// Bytes of the egress queue.
    public var queueBytes: Int
    /// In which order frames leave the egress queue.
    public var queueDiscipline: QueueDiscipline
    /// Longest time that a frame may wait in the egress queue, in nanoseconds.
    public var queueDelayNanoseconds: UInt64
    /// How often frames of the peer may be flooded.
    public var floodRate: FloodRate

    /// The settings of an egress queue, and of what comes in.
    public init(
        sendBuffer: Int? = nil, queueBytes: Int, queueDiscipline: QueueDiscipline,
        queueDelayNanoseconds: UInt64, floodRate: FloodRate = .unlimited
    ) {
        self.sendBuffer = sendBuffer
        self.queueBytes = queueBytes
        self.queueDiscipline = queueDiscipline
        self.queueDelayNanoseconds = queueDelayNanoseconds
        self.floodRate = floodRate
    }
}

/// What the owner of a connection puts in place of what it has.
struct LiveChange: ~Copyable {
    /// In the end the former queue.
    var queue: EgressQueue
    let queueDelayNanoseconds: UInt64
    let sendBuffer: Int?
}

/// A place for one change on its way from Control to the owner of a connection.
struct PendingChange: ~Copyable {
    private let word = Atomic<UInt>(0)

    deinit { Self.free(word.load(ordering: .acquiring)) }

    /// Leaves a change for the owner, in place of one that it has not taken.
    func put(_ change: consuming LiveChange) {
        let memory = UnsafeMutablePointer<LiveChange>.allocate(capacity: 1)
        memory.initialize(to: change)
        Self.free(
            word.exchange(UInt(bitPattern: memory), ordering: .acquiringAndReleasing))
    }

    /// Takes the change, which is the caller's to free then.
    func take() -> UnsafeMutablePointer<LiveChange>? {
        guard word.load(ordering: .relaxed) != 0 else { return nil }
        return UnsafeMutablePointer(bitPattern: word.exchange(0, ordering: .acquiring))
    }

    private static func free(_ word: UInt) {
        guard let memory = UnsafeMutablePointer<LiveChange>(bitPattern: word) else { return }
        memory.deinitialize(count: 1)
        memory.deallocate()
    }
}

extension DataPlane {
    /// Changes settings of the connection that a port has; its peer stays attached and frames that
    /// wait stay in order. The owner does so at its next turn. Does nothing for a port without one.
    public func change(port: PortID, to settings: LiveSettings) {
        changeConnection(of: port) { connection, entry in
            entry.floodRate = settings.floodRate
            let queue = EgressQueue(
                capacity: settings.queueBytes, discipline: settings.queueDiscipline,
                prefix: connection.pointee.prefix, seed: .random(in: .min ... .max))
            connection.pointee.change.put(
                LiveChange(
                    queue: queue, queueDelayNanoseconds: settings.queueDelayNanoseconds,
                    sendBuffer: settings.sendBuffer))
        }
    }
}

extension Worker where Backend: ~Copyable {
    /// Puts a change into force that Control has left for a connection.
    ///
    /// No frame is staged at the start of a turn, so nothing points into the old queue. Its memory
    /// goes back to the system here, once a change.
    mutating func applyChange(of connection: UnsafeMutablePointer<Connection>) {
        guard let change = connection.pointee.change.take() else { return }
        connection.pointee.queueDelayNanoseconds = change.pointee.queueDelayNanoseconds
        if let bytes = change.pointee.sendBuffer { boundSocket(of: connection, to: bytes) }
        let lost = connection.pointee.queue.moveAll(to: &change.pointee.queue)
        gaugeQueue(connection)
        swap(&connection.pointee.queue, &change.pointee.queue)
        connection.pointee.counters.add(dropped: .queueFull, UInt64(lost))
        gaugeQueue(connection)
        change.deinitialize(count: 1)
        change.deallocate()
    }
}
