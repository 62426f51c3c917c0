// What a request carries through the kernel and its completions bring back: io_uring's user_data.
//
//     bit 63      56 55          40 39          24 23                    0
//         +---------+--------------+--------------+-----------------------+
//         |  kind   |     port     |  generation  |         slot          |
//         +---------+--------------+--------------+-----------------------+
//
// IORing gives the fields no meaning; it only carries them. The generation tells a completion of a
// port's former life from one of its present life, so that a stale one can be counted and ignored.

/// Names the request that a completion belongs to: kind, port, the port's generation, and a slot.
@frozen
public struct CompletionTag: RawRepresentable, Hashable, Sendable {
    /// Number of different slots: `slot` lies in 0 ..< `slotCount`.
    @inlinable public static var slotCount: Int { 1 << 24 }

    /// The 64 bits as the kernel carries them.
    public let rawValue: UInt64

    /// Takes the 64 bits that the kernel brought back.
    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Packs the four fields.
    /// - Precondition: `slot` is in 0 ..< `slotCount`.
    @inlinable
    public init(kind: UInt8, port: UInt16, generation: UInt16, slot: Int) {
        precondition(UInt(bitPattern: slot) < UInt(bitPattern: CompletionTag.slotCount))
        rawValue =
            UInt64(kind) << 56 | UInt64(port) << 40 | UInt64(generation) << 24
            | UInt64(truncatingIfNeeded: slot)
    }

    /// What sort of request it is; the caller defines the values.
    @inlinable public var kind: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 56) }

    /// The dense index of the port that the request works for.
    @inlinable public var port: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 40) }

    /// The low bits of the port's generation when the request was made.
    @inlinable public var generation: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 24) }

    /// A number of the caller's, such as the batch slot of the frame that is sent.
    @inlinable public var slot: Int { Int(truncatingIfNeeded: rawValue & 0xFF_FFFF) }
}
