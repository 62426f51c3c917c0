// Theory of operation
//
// A connection table is what the data plane knows of the ports, frozen at one moment: it is built
// by the control plane, published (RCU/Published.swift), read without locks for whole turns, and
// freed after a grace period. It is never changed after `init`.
//
// A flood goes to every attached, eligible port but the ingress port. All those lists together take
// linear space, because each is a slice of one array that holds the n eligible ports twice:
//
//     members   e0 e1 e2 ... e(n-1) e0 e1 e2 ... e(n-1)
//                     |<----- list of ingress e1 --->|        n - 1 ports, from behind e1 on
//     |<-- an ingress that is not eligible itself -->|        all n
//
// so the list of each ingress port is dense, precomputed and excludes it, without a test per port.
// It begins behind the ingress port: floods of different ports reach the others in different
// orders.

/// One port as the data plane sees it.
@frozen
public struct PortEntry: Sendable, Equatable {
    /// An opaque word of the data plane, such as the address of its state for this port.
    public var attachment: UInt
    /// Incremented whenever the port's index is given to another connection.
    public var generation: UInt32
    /// The most bytes of a frame, in and out: payload + 14, + 4 with a VLAN tag.
    public var maxFrame: Int32
    /// The worker that owns the port.
    public var worker: UInt16
    /// True if there is a peer: frames are accepted from it and can be sent to it.
    public var isAttached: Bool
    /// True if floods go to the port.
    public var floodEligible: Bool
    /// What the peer leaves to others, in both directions.
    public var offload: Offload
    /// How often frames that came in by the port may be flooded.
    public var floodRate: FloodRate

    /// Describes a port; the default is one that is not attached.
    @inlinable
    public init(
        generation: UInt32 = 0, isAttached: Bool = false, worker: UInt16 = 0,
        maxFrame: Int32 = 1518, floodEligible: Bool = true, offload: Offload = .none,
        floodRate: FloodRate = .unlimited, attachment: UInt = 0
    ) {
        self.attachment = attachment
        self.generation = generation
        self.maxFrame = maxFrame
        self.worker = worker
        self.isAttached = isAttached
        self.floodEligible = floodEligible
        self.offload = offload
        self.floodRate = floodRate
    }
}

/// An immutable snapshot of all ports, with the flood list of each.
///
/// Thread safety: none of its memory changes after `init`, so any number of threads may read it for
/// as long as it lives.
@frozen
public struct ConnectionTable: ~Copyable, @unchecked Sendable {
    // Sendable: immutable, see above.

    @frozen
    @usableFromInline
    struct FloodSlice {
        @usableFromInline
        var start: UInt16
        @usableFromInline
        var count: UInt16
    }

    /// Counts publications; a worker that meets a new version reconciles its ports with the table.
    public let version: UInt64
    /// Entries, by port index: one more than the highest index in use.
    public let portCount: Int
    /// The ports that are attached.
    public let attached: PortSet

    @usableFromInline
    let entries: UnsafeMutablePointer<PortEntry>
    @usableFromInline
    let slices: UnsafeMutablePointer<FloodSlice>
    @usableFromInline
    let members: UnsafeMutablePointer<PortID>

    /// Builds a snapshot from one entry per port index.
    public init(version: UInt64, entries list: [PortEntry]) {
        precondition(list.count <= PortID.capacityMax)
        self.version = version
        portCount = list.count
        entries = .allocate(capacity: max(list.count, 1))
        slices = .allocate(capacity: max(list.count, 1))
        var attached = PortSet()
        var eligible: [PortID] = []
        for (index, entry) in list.enumerated() {
            (entries + index).initialize(to: entry)
            guard entry.isAttached else { continue }
            attached.insert(PortID(index: index))
            if entry.floodEligible { eligible.append(PortID(index: index)) }
        }
        self.attached = attached
        members = .allocate(capacity: max(2 * eligible.count, 1))
        for (position, port) in eligible.enumerated() {
            (members + position).initialize(to: port)
            (members + eligible.count + position).initialize(to: port)
        }
        for index in list.indices {
            let slice = FloodSlice(start: 0, count: UInt16(eligible.count))
            (slices + index).initialize(to: slice)
        }
        for (position, port) in eligible.enumerated() {
            slices[port.index] = FloodSlice(
                start: UInt16(position + 1), count: UInt16(eligible.count - 1))
        }
    }

    deinit {
        // All three hold trivial values only.
        entries.deallocate()
        slices.deallocate()
        members.deallocate()
    }

    /// The entry of `port`, or `nil` if the table is smaller than its index. Valid as long as the
    /// table.
    @inlinable
    @_noLocks
    public func entry(of port: PortID) -> UnsafePointer<PortEntry>? {
        port.index < portCount ? UnsafePointer(entries + port.index) : nil
    }

    /// The entry of `port` if it is attached, or `nil`. Valid as long as the table.
    @inlinable
    @_noLocks
    public func attachedEntry(of port: PortID) -> UnsafePointer<PortEntry>? {
        guard port.index < portCount, entries[port.index].isAttached else { return nil }
        return UnsafePointer(entries + port.index)
    }

    /// Where a frame from `ingress` is flooded: all attached eligible ports but `ingress`. Valid as
    /// long as the table.
    @inlinable
    @_noLocks
    public func floodList(from ingress: PortID) -> UnsafeBufferPointer<PortID> {
        guard ingress.index < portCount else { return UnsafeBufferPointer(start: nil, count: 0) }
        let slice = slices[ingress.index]
        return UnsafeBufferPointer(start: members + Int(slice.start), count: Int(slice.count))
    }

    /// A copy of the entries, for the control plane to edit into the next table.
    public func copyEntries() -> [PortEntry] {
        Array(UnsafeBufferPointer(start: entries, count: portCount))
    }
}
