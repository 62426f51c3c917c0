/// A set of ports as 1,024 bits held inline: 128 bytes, no allocation, membership in one load.
///
/// Iterate with `next(after:)`, which skips empty words:
///
///     var port = ports.first
///     while let current = port { ...; port = ports.next(after: current) }
@frozen
public struct PortSet: Sendable, Equatable {
    @usableFromInline
    var words: InlineArray<16, UInt64>

    /// Makes the empty set.
    @inlinable
    public init() {
        words = InlineArray(repeating: 0)
    }

    /// True if no port is in the set.
    @inlinable
    public var isEmpty: Bool { first == nil }

    /// How many ports are in the set.
    @inlinable
    public var count: Int {
        var count = 0
        for index in words.indices { count &+= words[index].nonzeroBitCount }
        return count
    }

    /// True if `port` is in the set.
    /// - Precondition: `port.index` < `PortID.capacityMax`.
    @inlinable
    public func contains(_ port: PortID) -> Bool {
        words[port.index >> 6] >> UInt64(port.rawValue & 63) & 1 != 0
    }

    /// Adds `port`.
    /// - Precondition: `port.index` < `PortID.capacityMax`.
    @inlinable
    public mutating func insert(_ port: PortID) {
        words[port.index >> 6] |= 1 &<< UInt64(port.rawValue)
    }

    /// Takes `port` out if it is in the set.
    /// - Precondition: `port.index` < `PortID.capacityMax`.
    @inlinable
    public mutating func remove(_ port: PortID) {
        words[port.index >> 6] &= ~(1 &<< UInt64(port.rawValue))
    }

    /// The lowest port of the set, or `nil` if it is empty.
    @inlinable
    public var first: PortID? { firstMember(from: 0) }

    /// The lowest port of the set above `port`, or `nil` if there is none.
    @inlinable
    public func next(after port: PortID) -> PortID? {
        firstMember(from: port.index + 1)
    }

    @inlinable
    func firstMember(from start: Int) -> PortID? {
        guard start < PortID.capacityMax else { return nil }
        var index = start >> 6
        // The bits below `start` are masked off in its own word only.
        var word = words[index] & (~0 &<< UInt64(truncatingIfNeeded: start))
        while word == 0 {
            index += 1
            guard index < words.count else { return nil }
            word = words[index]
        }
        return PortID(index: index << 6 + word.trailingZeroBitCount)
    }

    /// True if both have the same members.
    public static func == (left: PortSet, right: PortSet) -> Bool {
        for index in left.words.indices where left.words[index] != right.words[index] {
            return false
        }
        return true
    }
}
