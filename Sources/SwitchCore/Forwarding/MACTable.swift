// Theory of operation
//
// The MAC table (802.1Q: filtering database) says behind which port a station was seen last.
// Capacity is fixed at start. The table is an array of cache lines of four entries each:
//
//     bytes  0..<32   four key words
//     bytes 32..<64   four value words
//
// Two lines, 2n and 2n + 1, are a bucket. A key hashes to its home line; only when that is full
// does an entry go to the other line of the bucket, so nearly every hit reads one line. There are
// 16 slots for each entry of the limit: with the limit reached a bucket of eight holds half an
// entry on average, and a newcomer finds all eight taken about once in sixteen million times.
//
// The hash is keyed with a secret, so that a peer cannot choose addresses that collide. It takes
// two folded multiplications. After a single one, regular addresses (consecutive, one every 256,
// few addresses in many VLANs) left up to 67 % of the lines empty, where chance leaves 37 %.
//
// Readers and writers share entries without locks. An entry's words cannot be read at one instant,
// so
//
// - a writer claims the bucket (a compare-and-swap on a claim word that many buckets share; a claim
//   that is taken is not waited for, the frame just teaches nothing), then stores value = 0, key,
//   value, the last two with release;
// - a reader loads value, key, value, the first two with acquire, and accepts only if both values
//   are the same and not zero. If it saw the new key, it sees the zero or something later in the
//   second load; if it saw the new value first, it sees the new key. The only way to be fooled is a
//   value that comes back unchanged, bit for bit, around another key. A version in each value,
//   taken from the claim word that counts its claims, makes that need 2^20 claims between two
//   adjacent loads.
//
// A change of the value alone (refresh, move) is one store, still under the claim. A learn that
// changes nothing writes nothing: it compares two words and returns, so tables that are in use stay
// shared clean in every cache. Ticks are coarse (1 s), hence an entry is refreshed at most once a
// tick.
//
// Flushing a port increments its generation, which is part of the value: O(1), its entries are dead
// at once. Dead entries, flushed or older than the ageing time, count as absent; they are
// overwritten when met and removed by the sweep, which must come round in less than 2^12 flushes of
// one port.
//
// Room is fair. `ports[p]` holds generation and number of live-counted entries of port p in one
// word, so that a flush resets the number together with the generation, and who removes an entry
// later can see that it has been discounted. A port holds at most half the limit. When a bucket is
// full, or the table is, a newcomer replaces a dead entry or one of the heaviest port at hand that
// holds more entries than the newcomer's port would; else it is not learned. So a flood of
// addresses displaces only its author's.
//
// Pinned entries are set by the control plane. They never move, age or die with a flush, and count
// towards the total but not towards a port's share.
//
// Tried and rejected: one line of four entries as the bucket (with 10,000 stations, one in thirty
// seeds leaves a station without a place: its traffic is flooded for ever); a seqlock per bucket
// (readers would have to retry).

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
/// Thread safety: `learn`, `lookup`, `flush`, `pin`, `unpin` and `entries` from any thread at any
/// time; `sweep` from one thread at a time. None of them waits.
public struct MACTable: @unchecked Sendable {
    // Sendable: all memory behind the pointers is accessed atomically and lives until deallocate().

    typealias Word = UnsafeMutablePointer<Atomic<UInt64>>

    /// Entries of a line: words from a key to its value.
    static var lineSize: Int { @_noLocks get { 4 } }
    /// Entries of a bucket, two lines.
    static var bucketSize: Int { @_noLocks get { 8 } }
    static var slotsPerEntry: Int { @_noLocks get { 16 } }

    /// Lines, each four keys and then four values.
    let lines: Word
    /// Claim words: bit 0 is the claim, the others count claims. Buckets with the same low bits
    /// share one.
    let claims: Word
    /// Generation in the high half, number of counted entries in the low half; one word a port.
    let ports: Word
    /// Number of counted and pinned entries.
    let totalWord: Word

    let lineMask: UInt64
    let claimMask: UInt64
    let hashSeed: UInt64
    let hashFactors: (UInt64, UInt64)
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
        let lineCount =
            Self.roundedUpToPowerOfTwo(limit * Self.slotsPerEntry) / Self.lineSize
        let claimCount = min(lineCount / 2, 4096)
        lineMask = UInt64(lineCount - 1)
        claimMask = UInt64(claimCount - 1)
        hashSeed = Self.mixed(seed)
        // Odd, so that no product loses low bits of the key.
        hashFactors = (Self.mixed(seed &+ 1) | 1, Self.mixed(seed &+ 2) | 1)
        lines = Self.allocateZeroed(words: lineCount * 2 * Self.lineSize)
        claims = Self.allocateZeroed(words: claimCount)
        ports = Self.allocateZeroed(words: PortID.capacityMax)
        totalWord = Self.allocateZeroed(words: 8)
    }

    /// Frees the table.
    /// - Precondition: nobody uses it any more.
    public func deallocate() {
        for words in [lines, claims, ports, totalWord] {
            UnsafeMutableRawPointer(words).deallocate()
        }
    }

    /// How many entries there are, pinned ones included and dead ones that were not yet removed
    /// too, except those that a flush has killed.
    public var total: Int { Int(totalWord.pointee.load(ordering: .relaxed)) }

    /// How many of them `port` holds; pinned ones do not count.
    public func count(of port: PortID) -> Int {
        Int(portState(port).count)
    }

    // MARK: Hashing and addressing

    /// The home line of a key: twice a 64 x 64 -> 128 bit multiplication whose halves are folded
    /// together.
    @inline(__always)
    @_noLocks
    func homeLine(of key: MACEntryKey) -> UInt64 {
        let first = (key.word ^ hashSeed).multipliedFullWidth(by: hashFactors.0)
        let second = (first.high ^ first.low).multipliedFullWidth(by: hashFactors.1)
        return (second.high ^ second.low) & lineMask
    }

    /// Slot 0..<8 of the bucket around `home`, home line first: its key word, the value
    /// `lineSize` words on.
    @inline(__always)
    @_noLocks
    func slot(_ number: Int, from home: UInt64) -> Word {
        // `home` has been masked with lineMask and its lowest bit may be inverted, so the line is
        // within the allocation.
        let line = Int(truncatingIfNeeded: home) ^ (number &>> 2)
        return lines + (line &* (2 &* Self.lineSize) &+ number & 3)
    }

    /// The slot that holds `key`, or held it when its key word was read.
    @inline(__always)
    @_noLocks
    func find(_ key: MACEntryKey, from home: UInt64) -> Word? {
        var number = 0
        repeat {
            let slot = slot(number, from: home)
            if slot.pointee.load(ordering: .relaxed) == key.word { return slot }
            number &+= 1
        } while number < Self.bucketSize
        return nil
    }

    /// The value word of a slot, in no order with its key.
    @inline(__always)
    @_noLocks
    func value(at slot: Word) -> MACEntryValue {
        MACEntryValue(word: slot[Self.lineSize].load(ordering: .relaxed))
    }

    /// The claim word of the bucket around `line`.
    @_noLocks
    func claimWord(of line: UInt64) -> Word {
        claims + Int(truncatingIfNeeded: (line &>> 1) & claimMask)
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

    /// Ticks by which one worker's clock reading may be older than another's; an entry from further
    /// in the future is one whose tick has wrapped.
    static var clockSlack: Int32 { @_noLocks get { 16 } }

    /// True if an entry with this value counts as present.
    @inline(__always)
    @_noLocks
    func isLive(_ value: MACEntryValue, now: UInt32) -> Bool {
        if value.isFree { return false }
        // One comparison for -clockSlack...ageingTicks: an age below wraps to a huge number.
        let shifted = UInt32(bitPattern: value.age(now: now) &+ Self.clockSlack)
        if shifted <= UInt32(bitPattern: ageingTicks &+ Self.clockSlack)
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
