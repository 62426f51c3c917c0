/// The dense index of a port: 0..<portCapacity, assigned by Control, reused with a new generation.
@frozen
public struct PortID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The index as stored in tables and tags.
    public let rawValue: UInt16

    /// Wraps a stored index.
    @inlinable
    @_noLocks
    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// Makes the port with this index.
    /// - Precondition: 0 <= `index` < 65536; every table further demands `index` < its capacity.
    @inlinable
    public init(index: Int) {
        rawValue = UInt16(index)
    }

    /// The index for subscripting.
    @inlinable
    public var index: Int { @_noLocks get { Int(rawValue) } }

    /// The most ports any switch can have: what the port field of a MAC table entry holds.
    @inlinable
    public static var capacityMax: Int { @_noLocks get { 1024 } }

    /// Orders by index.
    @inlinable
    public static func < (left: PortID, right: PortID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The index in decimal.
    public var description: String { String(rawValue) }
}
