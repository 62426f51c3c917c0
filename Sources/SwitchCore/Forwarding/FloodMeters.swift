// Storm control: how often frames of a port may be flooded.
//
// A flooded frame costs as many sends as there are ports, and every guest has to read it, so one
// guest that storms would take the CPU of all. Each port therefore has a meter for frames to groups
// and one for frames to unknown addresses: two, so that a flow to a guest that has never spoken
// does not take away the questions (ARP, neighbour solicitation) that would find it.
//
// A meter is the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A):
// one word, the time at which the next frame is due if all keep to the rate. A frame may come
// `tolerance` too early; that time is how far a burst reaches.

/// What one port's flooded frames are measured by.
@frozen
public struct FloodRate: Sendable, Equatable {
    /// Nanoseconds from one flooded frame to the next; 0: any number may come.
    public let interval: UInt32

    /// No limit.
    @inlinable
    public static var unlimited: FloodRate { @_noLocks get { FloodRate(interval: 0) } }

    @inlinable
    @_noLocks
    init(interval: UInt32) { self.interval = interval }

    /// A limit of so many frames a second, at most a thousand millions; 0: no limit.
    public init(framesPerSecond rate: Int) {
        interval = rate == 0 ? 0 : UInt32(clamping: 1_000_000_000 / rate)
    }
}

/// The meters of all ports, two each.
///
/// A handle: copies mean the same memory. Whoever made it calls `deallocate()` last.
///
/// Thread safety: a port's meters are used by the worker that owns the port and by nobody else.
@frozen
public struct FloodMeters: @unchecked Sendable {
    // Sendable: see thread safety; no port's meters share a cache line with another's.

    /// What a meter measures.
    @frozen
    public enum Kind: Int, Sendable {
        /// Frames to group addresses.
        case group
        /// Frames to addresses that no port is known for.
        case unknown
    }

    /// How much earlier than due a frame may come, nanoseconds: bursts of a tenth of a second's
    /// frames.
    @inlinable
    public static var tolerance: UInt64 { @_noLocks get { 100_000_000 } }
    /// Bytes of a frame for which it counts once.
    @inlinable
    public static var unitLength: Int32 { @_noLocks get { 2048 } }

    @usableFromInline
    static var stride: Int { @_noLocks get { 8 } }

    @usableFromInline
    let dueTimes: UnsafeMutablePointer<UInt64>
    /// How many ports have meters.
    public let portCapacity: Int

    /// Makes meters that have measured nothing.
    public init(portCapacity: Int) {
        self.portCapacity = portCapacity
        let count = portCapacity * Self.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 64)
        dueTimes = memory.bindMemory(to: UInt64.self, capacity: count)
        dueTimes.initialize(repeating: 0, count: count)
    }

    /// Frees the meters.
    /// - Precondition: nobody uses one any more.
    public func deallocate() { dueTimes.deallocate() }

    /// Whether a frame may be flooded, which counts it then.
    /// - Parameters:
    ///   - length: bytes of the frame; a long one counts once for every `unitLength` begun.
    ///   - port: the port by which it came in.
    ///   - now: nanoseconds of the monotonic clock.
    /// - Precondition: `port.index` < `portCapacity`.
    @inlinable
    @_noLocks
    public func admit(
        _ kind: Kind, length: Int32, from port: PortID, rate: FloodRate, now: UInt64
    ) -> Bool {
        guard rate.interval != 0 else { return true }
        precondition(port.index < portCapacity)
        let due = dueTimes + (port.index &* Self.stride &+ kind.rawValue)
        guard due.pointee <= now &+ Self.tolerance else { return false }
        let units = UInt64(truncatingIfNeeded: (max(length, 1) &- 1) / Self.unitLength &+ 1)
        due.pointee = max(due.pointee, now) &+ units &* UInt64(rate.interval)
        return true
    }
}
