// The two words of a MAC table entry. Either may be read while a writer rewrites the entry; how a
// reader knows that the two belong together is told in MACTable.swift.
//
//     key      63        62..60    59..48    47..0
//              valid     0         VID       MAC address
//
//     value    63        62        61..42    41..22    21..10       9..0
//              valid     pinned    version   tick      generation   port
//
// An entry that is free has both words zero; a valid word is never zero.

/// What an entry is about: a MAC address in a VLAN.
struct MACEntryKey: Equatable {
    let word: UInt64

    /// The key of a free entry.
    static var free: MACEntryKey { @_noLocks get { MACEntryKey(word: 0) } }

    @_noLocks
    init(word: UInt64) {
        self.word = word
    }

    /// Takes the low 12 bits of `vlan`.
    @_noLocks
    init(_ address: MACAddress, vlan: UInt16) {
        word = 1 << 63 | UInt64(vlan & 0x0FFF) << 48 | address.rawValue
    }

    var isFree: Bool { @_noLocks get { word == 0 } }
    var address: MACAddress { @_noLocks get { MACAddress(rawValue: word) } }
    var vlan: UInt16 { @_noLocks get { UInt16(truncatingIfNeeded: word >> 48) & 0x0FFF } }
}

/// Where the station is, since when, and which writing of the entry this is.
struct MACEntryValue: Equatable {
    let word: UInt64

    /// The value of a free entry, and of one that is being rewritten.
    static var free: MACEntryValue { @_noLocks get { MACEntryValue(word: 0) } }

    static var versionMask: UInt64 { @_noLocks get { 0xF_FFFF } }
    static var tickMask: UInt32 { @_noLocks get { 0xF_FFFF } }
    static var generationMask: UInt32 { @_noLocks get { 0xFFF } }

    /// Port, generation, tick and the valid bit: equal in two values that say the same.
    static var contentMask: UInt64 { @_noLocks get { 1 << 63 | 0x3FF_FFFF_FFFF } }

    @_noLocks
    init(word: UInt64) {
        self.word = word
    }

    /// Takes as many low bits of `generation`, `tick` and `version` as have room.
    /// - Precondition: `port.index` < `PortID.capacityMax`.
    @_noLocks
    init(
        port: PortID, generation: UInt32, tick: UInt32, version: UInt64 = 0, pinned: Bool = false
    ) {
        word =
            1 << 63 | (pinned ? 1 << 62 : 0)
            | (version & Self.versionMask) << 42
            | UInt64(tick & Self.tickMask) << 22
            | UInt64(generation & Self.generationMask) << 10
            | UInt64(port.rawValue)
    }

    var isFree: Bool { @_noLocks get { word == 0 } }
    var isPinned: Bool { @_noLocks get { word >> 62 & 1 != 0 } }

    var port: PortID {
        @_noLocks get { PortID(rawValue: UInt16(truncatingIfNeeded: word) & 0x3FF) }
    }

    var generation: UInt32 {
        @_noLocks get { UInt32(truncatingIfNeeded: word >> 10) & Self.generationMask }
    }

    /// True if this value was written for the same port generation, as far as its bits tell.
    @_noLocks
    func isOf(generation current: UInt32) -> Bool {
        (generation ^ current) & Self.generationMask == 0
    }

    /// Ticks since the entry was learned or refreshed. Negative if another worker, whose clock
    /// reading is newer, did so.
    ///
    /// 20 bits of the tick are kept, so the difference is taken modulo 2^20 and read as a signed
    /// number: right for ages up to six days, long before which the sweep has removed the entry.
    @_noLocks
    func age(now tick: UInt32) -> Int32 {
        let difference = tick &- UInt32(truncatingIfNeeded: word >> 22)
        return Int32(bitPattern: difference << 12) >> 12
    }
}
