// A worker: one thread, one ring, and its ports in both directions.
//
// Theory of operation. A worker lives in turns. A turn takes what has arrived, decides, sends, and
// ends holding nothing:
//
//   1. wait      in the ring, only when the turn before left nothing to do (and offline for grace
//                periods);
//   2. clock     read once;
//   3. table     one acquire load; where the version is new, `reconcile` activates and retires
//                connections;
//   4. gather    completions become frames with a known ingress port (Worker+Ingress), and
//                devices that have something are read (Worker+Devices);
//   5. classify  the batch (SwitchCore, pure);
//   6. send      one SQE for each frame and egress port, executed inline by one enter, then
//                settled: what the kernel refused is copied into the egress port's queue
//                (Worker+Egress). Only then, when nothing points into them any more, do the
//                receive buffers go back;
//   7. relieve   congested ports whose time has come, ease their sources (Worker+Pause), arm
//                receives that ended;
//   8. quiesce   the snapshot is forgotten.
//
// The enter of step 6 also brings the completions of the next turn, unless the batch was so large
// that its buffers had better go back first; so under load a turn is one or two system calls.
// Receiving never depends on sending: a send finishes inside the enter or is refused, and nothing
// here waits for a peer.
//
// Everything a turn needs is allocated in `init`. The state belongs to the thread that calls
// `turn`.

internal import IORing
internal import SwitchCore
internal import Synchronization

/// A send that the kernel has been asked for, in the order of its SQE.
struct StagedSend {
    var connection: UnsafeMutablePointer<Connection>
    var origin: Origin
    /// Result of the send when it failed, else 0.
    var failure: Int32
}

/// A fixed-capacity list of connections, for those that need attention.
struct ConnectionList: ~Copyable {
    private let storage: UnsafeMutableBufferPointer<UnsafeMutablePointer<Connection>>
    private(set) var count = 0

    init(capacity: Int) { storage = .allocate(capacity: capacity) }
    deinit { storage.deallocate() }

    subscript(index: Int) -> UnsafeMutablePointer<Connection> { storage[index] }

    mutating func append(_ connection: UnsafeMutablePointer<Connection>) {
        precondition(count < storage.count)
        storage[count] = connection
        count += 1
    }

    /// Removes the element at `index`; the last one takes its place.
    mutating func remove(at index: Int) {
        precondition(index < count)
        count -= 1
        storage[index] = storage[count]
    }
}

/// The data plane's loop over a backend: `RingBackend` in the switch, a simulated one in tests.
struct Worker<Backend: WorkerBackend & ~Copyable>: ~Copyable {
    let index: Int
    /// Keeps alive what `links` point to.
    let context: WorkerContext
    let links: WorkerLinks
    let macTable: MACTable
    let floodMeters: FloodMeters
    let counters: CounterTable
    /// Counters that belong to no port.
    let block: CounterBlock
    var backend: Backend

    /// Time of this turn, nanoseconds.
    var now: UInt64 = 0
    var tableVersion: UInt64 = 0

    /// The worker's connections by port index.
    let connections: UnsafeMutableBufferPointer<UnsafeMutablePointer<Connection>?>
    /// By port index, the last generation that this worker has had to do with.
    let seenGenerations: UnsafeMutableBufferPointer<UInt32>

    let completions: UnsafeMutableBufferPointer<Completion>
    var completionCount = 0
    let frames: UnsafeMutableBufferPointer<Frame>
    var frameCount = 0
    /// Frames of the last turn.
    var lastBatch = 0
    /// Of the frames, those in buffers that the kernel waits for.
    var heldFrameCount = 0
    /// Lengths of the frames of one device, as they were read.
    let readLengths: UnsafeMutableBufferPointer<Int32>
    let verdicts: UnsafeMutableBufferPointer<Verdict>
    let sends: UnsafeMutableBufferPointer<SendRequest>
    let staged: UnsafeMutableBufferPointer<StagedSend>
    var stagedCount = 0
    var settleSerial: UInt64 = 0

    var congested: ConnectionList
    var arming: ConnectionList
    var retiring: ConnectionList
    /// Devices that may have something to read; the kernel is not asked about them.
    var readable: ConnectionList
    /// Pausing ports of which frames wait somewhere.
    var heldBack: ConnectionList
    /// The last turn has taken what had arrived.
    var tookArrivals = false
    /// Copies of one flooded frame by owner; zero between floods.
    let copiesTo: UnsafeMutableBufferPointer<UInt32>
    /// Segments of this turn's large frames.
    var segments = SegmentArena(capacity: 2 * Segmentation.countMax)
    var lastSegmentation = LastSegmentation()
    /// Workers that were handed a frame in this turn, one bit each.
    var handedTo: UInt64 = 0
    /// What is left undone; see Worker+Hold.
    var hold = Hold.none
    /// Something found no room in the submission queue: the next turn must come without waiting.
    var hasUnfinishedRequests = false

    /// Room for completions: those of one turn and, behind them, all that the ring's queue can
    /// hold.
    static var batchMax: Int { 2 * RingSizes.completions }
    /// Frames of a batch that may be held during an enter which also receives. Below it the system
    /// call saved counts more; above it a pool of 16 or 64 buffers would run dry, which ends its
    /// receive.
    static var heldFramesMax: Int { 16 }
    /// Room for frames: one for each completion, early frames and a device's batch beside them.
    static var framesMax: Int { batchMax + 64 }
    /// Most sends in one enter.
    static var sendsMax: Int { RingSizes.submissions / 2 }

    init(index: Int, context: WorkerContext, backend: consuming Backend) {
        self.index = index
        self.context = context
        links = WorkerLinks(index: index, context: context)
        self.backend = backend
        macTable = context.macTable
        floodMeters = context.floodMeters
        counters = context.counters
        block = context.counters.workerBlock(index)
        connections = .allocate(capacity: context.portCapacity)
        connections.initialize(repeating: nil)
        seenGenerations = .allocate(capacity: context.portCapacity)
        seenGenerations.initialize(repeating: 0)
        completions = .allocate(capacity: Self.batchMax)
        frames = .allocate(capacity: Self.framesMax)
        readLengths = .allocate(capacity: Connection.bufferCountMax)
        verdicts = .allocate(capacity: Self.framesMax)
        sends = .allocate(capacity: Self.sendsMax)
        staged = .allocate(capacity: Self.sendsMax)
        copiesTo = .allocate(capacity: context.workerCount)
        copiesTo.initialize(repeating: 0)
        congested = ConnectionList(capacity: context.portCapacity)
        arming = ConnectionList(capacity: context.portCapacity)
        retiring = ConnectionList(capacity: context.portCapacity)
        readable = ConnectionList(capacity: context.portCapacity)
        heldBack = ConnectionList(capacity: context.portCapacity)
    }

    deinit {
        connections.deallocate()
        seenGenerations.deallocate()
        completions.deallocate()
        frames.deallocate()
        readLengths.deallocate()
        verdicts.deallocate()
        sends.deallocate()
        staged.deallocate()
        copiesTo.deallocate()
    }

    /// Runs one turn. See the head of the file. Not inlined: the audit of the binary and profiles
    /// look for it by name.
    @inline(never)
    mutating func turn() {
        if completionCount == 0, readable.count == 0 || !tookArrivals { wait() }
        tookArrivals = false
        now = backend.now()
        hasUnfinishedRequests = false
        let table = links.table.read()
        if table.pointee.version != tableVersion { reconcile(table) }

        gather()
        if readable.count > 0 { readDevices() }
        lastBatch = frameCount
        if frameCount > 0 { forward(table) }
        if links.workerCount > 1 { takeHandovers(table) }
        // While frames are held, receives find only what is left of the pool: a large batch goes
        // back first.
        finishSends(takingArrivals: heldFrameCount < Self.heldFramesMax)
        giveBuffersBack()

        if congested.count > 0 { relieveCongested() }
        if heldBack.count > 0 { easeSources() }
        if arming.count > 0 { armReceives() }
        if retiring.count > 0 { retireConnections() }
        if handedTo != 0 { announceHandovers() }
        if hold != .none { rest() }
        block.add(.turns, 1)
        links.gracePeriod.quiescent(index)
    }

    /// Classifies the batch and stages what follows from it.
    mutating func forward(_ table: UnsafePointer<ConnectionTable>) {
        classify(
            frames: UnsafeBufferPointer(rebasing: frames[..<frameCount]), into: verdicts,
            table: table, macTable: macTable, floodMeters: floodMeters, now: now,
            counters: counters)
        stageVerdicts(table)
    }
}
