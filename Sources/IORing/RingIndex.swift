// Positions in the queues shared with the kernel. A plain `-` or `+` on them would trap after 2^32
// entries, some hours of traffic, so they have a type of their own that wraps.

package import Synchronization

/// A free-running position in a queue shared with the kernel; it wraps at 2^32 and is masked on
/// use.
///
/// Distances are right across the wrap because a queue holds far fewer than 2^32 entries (the
/// kernel's limits are 32,768 submissions and 65,536 completions).
package struct RingIndex: Equatable {
    package let rawValue: UInt32

    @inline(__always)
    package init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// How many entries lie from `other` up to here.
    @inline(__always)
    package func distance(from other: RingIndex) -> Int {
        Int(rawValue &- other.rawValue)
    }

    @inline(__always)
    package func advanced(by count: Int) -> RingIndex {
        RingIndex(rawValue &+ UInt32(truncatingIfNeeded: count))
    }

    /// The place of this position in an array of `mask` + 1 entries.
    @inline(__always)
    package func offset(mask: UInt32) -> Int {
        Int(rawValue & mask)
    }
}

/// A queue's head or tail word in memory shared with the kernel.
package typealias KernelWord = UnsafeMutablePointer<Atomic<UInt32>>
