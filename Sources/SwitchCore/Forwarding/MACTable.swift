// Theory of operation
//
// The MAC table (802.1Q: filtering database) says behind which port a station was seen last. Capacity is
// fixed at start. A key hashes to one bucket of four entries, which is one cache line:
//
//     bytes  0..<32   four key words
//     bytes 32..<64   four value words
//
// There are 16 slots for each entry of the limit, so that a single choice of bucket is enough: with the
// limit reached, a bucket holds 0.25 entries on average and a newcomer finds its bucket full about once
// in 40,000 times. The hash is keyed with a secret seed, so a peer cannot choose addresses that collide.
//
// Readers and writers share entries without locks. An entry's words cannot be read at one instant, so
//
// - a writer claims the bucket (a compare-and-swap on a claim word that many buckets share; a claim that
//   is taken is not waited for, the frame just teaches nothing), then stores value = 0, key, value, the
//   last two with release;
// - a reader loads value, key, value, the first two with acquire, and accepts only if both values are
//   the same and not zero. If it saw the new key, it sees the zero or something later in the second
//   load; if it saw the new value first, it sees the new key. The only way to be fooled is a value that
//   comes back unchanged, bit for bit, around another key. A version in each value, taken from the
//   claim word that counts its claims, makes that need 2^20 claims between two adjacent loads.
//
// A change of the value alone (refresh, move) is one store, still under the claim. A learn that changes
// nothing writes nothing: it compares two words and returns, so tables that are in use stay shared
// clean in every cache. Ticks are coarse (1 s), hence an entry is refreshed at most once a tick.
//
// Flushing a port increments its generation, which is part of the value: O(1), its entries are dead at
// once. Dead entries, flushed or older than the ageing time, count as absent; they are overwritten when
// met and removed by the sweep, which must come round in less than 2^12 flushes of one port.
//
// Room is fair. `ports[p]` holds generation and number of live-counted entries of port p in one word,
// so that a flush resets the number together with the generation, and who removes an entry later can see
// that it has been discounted. A port holds at most half the limit. When a bucket is full, or the table
// is, a newcomer replaces a dead entry or one of the heaviest port at hand that holds more entries than
// the newcomer's port would; else it is not learned. So a flood of addresses displaces only its author's.
//
// Pinned entries are set by the control plane. They never move, age or die with a flush, and count
// towards the total but not towards a port's share.
//
// Tried and rejected: two-choice buckets (a second cache line per miss, and misses are floods, the
// expensive case); a seqlock per bucket (readers would have to retry).

import Synchronization

/// What `MACTable.learn` did.
public enum LearnResult: Sendable {
    /// The entry said so already; nothing was written.
    case unchanged
    /// A new entry was made.
    case learned
    /// The entry now points to another port.
    case moved
    /// The entry's age was reset.
    case refreshed
    /// The entry points to another port and may not move: seen or moved in this tick, or pinned.
    case damped
    /// No room: the port holds its share, or nothing at hand could be replaced fairly.
    case full
    /// The source is a group address or zero.
    case ineligible
    /// Another thread was writing this bucket or flushing the port; nothing was learned.
    case busy
}

/// Which port each MAC address of each VLAN is behind.
///
/// A handle: copies mean the same table. Whoever made it calls `deallocate()` last.
///
/// Thread safety: `learn`, `lookup`, `flush`, `pin`, `unpin` and `entries` from any thread at any time;
/// `sweep` from one thread at a time. None of them waits.
public struct MACTable: @unchecked Sendable {
    // Sendable: all memory behind the pointers is accessed atomically and lives until deallocate().

    typealias Word = UnsafeMutablePointer<Atomic<UInt64>>

    static var bucketSize: Int { @_noLocks get { 4 } }
    static var slotsPerEntry: Int { @_noLocks get { 16 } }

    /// Buckets, each four keys and then four values.
    let buckets: Word
    /// Claim words: bit 0 is the claim, the others count claims. A bucket uses the word of its low bits.
    let claims: Word
    /// Generation in the high half, number of counted entries in the low half; one word a port.
    let ports: Word
    /// Number of counted and pinned entries.
    let totalWord: Word

    let bucketMask: UInt64
    let claimMask: UInt64
    let hashSeed: UInt64
    let hashFactor: UInt64
    let ageingTicks: Int32

    /// The most entries that the table holds.
    public let limit: Int
    /// The most entries of one port.
    public let portLimit: Int
    /// How many ports may own entries.
    public let portCapacity: Int

    /// Allocates an empty table.
    /// - Parameters:
    ///   - limit: entries in all, at least 2. Memory is 256 to 512 bytes for each.
    ///   - portCapacity: ports, at most `PortID.capacityMax`.
    ///   - ageingTicks: an entry not refreshed for more ticks than this is dead; 1..<2^19.
    ///   - seed: a secret random number that keys the hash.
    public init(limit: Int, portCapacity: Int, ageingTicks: UInt32, seed: UInt64) {
        precondition(limit >= 2 && limit <= 1 << 26)
        precondition(portCapacity > 0 && portCapacity <= PortID.capacityMax)
        precondition(ageingTicks >= 1 && ageingTicks < 1 << 19)
        self.limit = limit
        self.portCapacity = portCapacity
        self.ageingTicks = Int32(ageingTicks)
        portLimit = limit / 2
        let slots = Self.roundedUpToPowerOfTwo(limit * Self.slotsPerEntry)
        let bucketCount = slots / Self.bucketSize
        let claimCount = min(bucketCount, 4096)
        bucketMask = UInt64(bucketCount - 1)
        claimMask = UInt64(claimCount - 1)
        hashSeed = Self.mixed(seed)
        // Odd, so that multiplication by it is a bijection modulo 2^64.
        hashFactor = Self.mixed(seed &+ 0x9E37_79B9_7F4A_7C15) | 1
        buckets = Self.allocateZeroed(words: bucketCount * 2 * Self.bucketSize)
        claims = Self.allocateZeroed(words: claimCount)
        ports = Self.allocateZeroed(words: PortID.capacityMax)
        totalWord = Self.allocateZeroed(words: 8)
    }

    /// Frees the table.
    /// - Precondition: nobody uses it any more.
    public func deallocate() {
        for words in [buckets, claims, ports, totalWord] { UnsafeMutableRawPointer(words).deallocate() }
    }

    /// How many entries there are, pinned ones included and dead ones that were not yet removed too,
    /// except those that a flush has killed.
    public var total: Int { Int(totalWord.pointee.load(ordering: .relaxed)) }

    /// How many of them `port` holds; pinned ones do not count.
    public func count(of port: PortID) -> Int {
        Int(portState(port).count)
    }

    // MARK: Hashing and addressing

    /// The bucket of a key: one 64 x 64 -> 128 bit multiplication, both halves folded together, so that
    /// every bit of the key reaches the low bits which choose the bucket.
    @inline(__always)
    @_noLocks
    func bucketIndex(of key: MACEntryKey) -> UInt64 {
        let product = (key.word ^ hashSeed).multipliedFullWidth(by: hashFactor)
        return (product.high ^ product.low) & bucketMask
    }

    /// The four keys of a bucket; its four values follow.
    @_noLocks
    func bucket(at index: UInt64) -> Word {
        // The index has been masked with bucketMask, so the product is within the allocation.
        buckets + Int(truncatingIfNeeded: index) &* (2 &* Self.bucketSize)
    }

    /// The claim word of a bucket.
    @_noLocks
    func claimWord(of index: UInt64) -> Word {
        claims + Int(truncatingIfNeeded: index & claimMask)
    }

    // MARK: Ports

    /// A port's generation and number of entries, from one load.
    struct PortState {
        let word: UInt64

        @_noLocks
        init(word: UInt64) {
            self.word = word
        }

        var generation: UInt32 { @_noLocks get { UInt32(truncatingIfNeeded: word >> 32) } }
        var count: UInt32 { @_noLocks get { UInt32(truncatingIfNeeded: word) } }
    }

    @_noLocks
    func portState(_ port: PortID) -> PortState {
        let index = port.index
        precondition(index < PortID.capacityMax)
        return PortState(word: ports[index].load(ordering: .relaxed))
    }

    /// True if an entry with this value counts as present.
    @inline(__always)
    @_noLocks
    func isLive(_ value: MACEntryValue, now: UInt32) -> Bool {
        if value.isFree { return false }
        if value.age(now: now) <= ageingTicks
            && value.isOf(generation: portState(value.port).generation)
        {
            return true
        }
        return value.isPinned
    }

    // MARK: Set-up

    private static func allocateZeroed(words: Int) -> Word {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 64)
        let pointer = memory.bindMemory(to: Atomic<UInt64>.self, capacity: words)
        for index in 0..<words { (pointer + index).initialize(to: Atomic(0)) }
        return pointer
    }

    private static func roundedUpToPowerOfTwo(_ value: Int) -> Int {
        1 << (Int.bitWidth - (value - 1).leadingZeroBitCount)
    }

    /// The finaliser of splitmix64: spreads a seed over all bits.
    private static func mixed(_ seed: UInt64) -> UInt64 {
        var value = seed &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
