// Theory of operation
//
// The Internet checksum (RFC 1071) is the complement of the ones' complement sum of 16-bit words.
// That sum is a sum modulo 65,535, and so
//   - words may be added in native byte order: the result comes out in native byte order, too,
//   - wider words may be added instead, since 2^16, 2^32 and 2^48 are all 1 modulo 65,535,
//   - carries may be gathered and added at the end: sums here are UInt64 and folded once.
//
// The loop adds 64-bit words without looking at carries, and beside them their upper halves. Both
// sums together give the sum of the lower halves: (words - upper << 32) modulo 2^64, exact as long
// as fewer than 2^32 words are added. That is three vector operations a 16 bytes; masking and
// shifting takes four, and add with carry is held up by its chain. Measured on 1440 bytes in cache
// (Xeon at 2.3 GHz, SSE2): 42 ns, against 56 ns and 50 ns.

/// Sums of 16-bit words in ones' complement, in native byte order.
enum InternetChecksum {
    /// The sum of `count` bytes, not folded: at most 2^32 a 4 bytes. A last odd byte is followed by
    /// a zero.
    @inline(__always)
    @_noLocks
    static func sum(_ bytes: UnsafeRawPointer, count: Int) -> UInt64 {
        var next = bytes
        var left = count
        var total: UInt64 = 0
        if left >= 64 { total = sumBlocks(&next, &left) }
        // What is left is a sum of powers of two. A loop would be vectorised, and for nothing.
        if left & 32 != 0 {
            total &+= sum16(next) &+ sum16(next + 16)
            next += 32
        }
        if left & 16 != 0 {
            total &+= sum16(next)
            next += 16
        }
        if left & 8 != 0 {
            total &+= sum8(next)
            next += 8
        }
        if left & 4 != 0 {
            total &+= UInt64(next.loadUnaligned(as: UInt32.self))
            next += 4
        }
        if left & 2 != 0 {
            total &+= UInt64(next.loadUnaligned(as: UInt16.self))
            next += 2
        }
        if left & 1 != 0 {
            total &+= UInt64(UInt16(bigEndian: UInt16(next.load(as: UInt8.self)) << 8))
        }
        return total
    }

    @inline(__always)
    @_noLocks
    private static func sum8(_ bytes: UnsafeRawPointer) -> UInt64 {
        let word = bytes.loadUnaligned(as: UInt64.self)
        return word & 0xFFFF_FFFF &+ word >> 32
    }

    @inline(__always)
    @_noLocks
    private static func sum16(_ bytes: UnsafeRawPointer) -> UInt64 {
        sum8(bytes) &+ sum8(bytes + 8)
    }

    /// The sum of all whole blocks of 64 bytes, of which there is at least one.
    @inline(__always)
    @_noLocks
    private static func sumBlocks(_ next: inout UnsafeRawPointer, _ left: inout Int) -> UInt64 {
        // Two pairs of sums, so that additions need not wait for each other.
        var words = SIMD2<UInt64>(repeating: 0)
        var upper = SIMD2<UInt64>(repeating: 0)
        var otherWords = SIMD2<UInt64>(repeating: 0)
        var otherUpper = SIMD2<UInt64>(repeating: 0)
        repeat {
            let first = next.loadUnaligned(as: SIMD2<UInt64>.self)
            let second = next.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self)
            let third = next.loadUnaligned(fromByteOffset: 32, as: SIMD2<UInt64>.self)
            let fourth = next.loadUnaligned(fromByteOffset: 48, as: SIMD2<UInt64>.self)
            words = words &+ first
            upper = upper &+ (first &>> 32)
            otherWords = otherWords &+ second
            otherUpper = otherUpper &+ (second &>> 32)
            words = words &+ third
            upper = upper &+ (third &>> 32)
            otherWords = otherWords &+ fourth
            otherUpper = otherUpper &+ (fourth &>> 32)
            next += 64
            left &-= 64
        } while left >= 64
        let allWords = (words &+ otherWords).wrappedSum()
        let allUpper = (upper &+ otherUpper).wrappedSum()
        return allWords &- (allUpper << 32) &+ allUpper
    }

    /// The sum in 16 bits; zero only if every summand was.
    /// - Precondition: `sum` < 2^48: three steps are enough. 64 KiB sum up to less than 2^47.
    @inline(__always)
    @_noLocks
    static func fold(_ sum: UInt64) -> UInt16 {
        var folded = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
        folded = (folded & 0xFFFF) &+ (folded >> 16)
        folded = (folded & 0xFFFF) &+ (folded >> 16)
        return UInt16(truncatingIfNeeded: folded)
    }

    /// The checksum of TCP and UDP for a sum: its complement, and 0xffff for zero, which to UDP
    /// means that there is none.
    @inline(__always)
    @_noLocks
    static func transportChecksum(_ sum: UInt64) -> UInt16 {
        let checksum = ~fold(sum)
        return checksum == 0 ? 0xFFFF : checksum
    }
}
