// What the control plane and housekeeping do to the table: flush, sweep, pin, list.

import Synchronization

/// One entry of the MAC table, as listed.
public struct MACEntry: Sendable, Equatable {
    /// The station.
    public let address: MACAddress
    /// Its VLAN identifier; 0 is untagged.
    public let vlan: UInt16
    /// The port behind which it was seen last.
    public let port: PortID
    /// Ticks since it was learned or refreshed; 0 if pinned.
    public let ageTicks: UInt32
    /// True if it was set by the control plane and never moves or ages.
    public let isPinned: Bool

    /// Describes an entry.
    public init(address: MACAddress, vlan: UInt16, port: PortID, ageTicks: UInt32, isPinned: Bool) {
        self.address = address
        self.vlan = vlan
        self.port = port
        self.ageTicks = ageTicks
        self.isPinned = isPinned
    }
}

/// What `MACTable.pin` and `MACTable.unpin` did.
public enum PinResult: Sendable {
    /// The entry is pinned, or is no more.
    case done
    /// There was no such pinned entry.
    case absent
    /// No room: the table is at its limit, or the bucket holds pinned entries only.
    case full
    /// The address is a group address or zero.
    case ineligible
    /// Another thread was writing this bucket; try again.
    case busy
}

extension MACTable {
    /// Forgets all entries of `port` but pinned ones, at once and whatever their number.
    @_noLocks
    public func flush(port: PortID) {
        let index = port.index
        precondition(index < portCapacity)
        let word = ports + index
        var seen = PortState(word: word.pointee.load(ordering: .relaxed))
        while true {
            // The next generation, with no entries: one exchange, so nobody can discount one twice.
            let next = UInt64(seen.generation &+ 1) << 32
            let (exchanged, now) = word.pointee.weakCompareExchange(
                expected: seen.word, desired: next, ordering: .relaxed)
            if exchanged { break }
            seen = PortState(word: now)
        }
        giveRoom(UInt64(seen.count))
    }

    /// Forgets all entries but pinned ones.
    public func flushAll() {
        for index in 0..<portCapacity { flush(port: PortID(index: index)) }
    }

    /// Removes the dead entries of one slice of the table.
    ///
    /// Called round and round, it keeps the counts of ports true and frees room before anyone needs
    /// it. Slices whose buckets hold no dead entry are read and not written.
    /// - Parameters:
    ///   - slice: 0..<`sliceCount`.
    ///   - sliceCount: into how many slices the table is divided.
    /// - Returns: how many entries were removed.
    @discardableResult
    @_noLocks
    public func sweep(slice: Int, of sliceCount: Int, now: UInt32) -> Int {
        precondition(slice >= 0 && slice < sliceCount)
        let bucketCount = (Int(truncatingIfNeeded: lineMask) + 1) / 2
        var removed = 0
        for bucket in bucketCount * slice / sliceCount..<bucketCount * (slice + 1) / sliceCount {
            let home = UInt64(truncatingIfNeeded: bucket) &* 2
            guard deadSlot(from: home, now: now) != nil else { continue }
            let claim = claimWord(of: home)
            // A bucket that is being written will be met again in the next round.
            guard take(claim) != nil else { continue }
            while let slot = deadSlot(from: home, now: now) {
                remove(slot)
                removed &+= 1
            }
            giveBack(claim)
        }
        return removed
    }

    /// Binds `address` in `vlan` to `port` until `unpin`, whatever is learned or flushed.
    ///
    /// Replaces an ordinary entry of the address. In a full bucket it replaces another ordinary
    /// entry.
    /// - Precondition: `port.index` < `portCapacity`.
    public func pin(_ address: MACAddress, vlan: UInt16, port: PortID, now: UInt32) -> PinResult {
        guard !address.isGroup && !address.isZero else { return .ineligible }
        precondition(port.index < portCapacity)
        let key = MACEntryKey(address, vlan: vlan)
        let home = homeLine(of: key)
        let claim = claimWord(of: home)
        guard let version = take(claim) else { return .busy }
        defer { giveBack(claim) }
        let slot = find(key, from: home) ?? vacantSlot(from: home, now: now)
        guard let slot = slot ?? heaviestSlot(from: home, above: 0) else { return .full }
        let old = value(at: slot)
        // The entry that is replaced leaves its place in the total to the pinned one.
        guard old.isPinned || discharge(old) || takeRoom() else { return .full }
        let value = MACEntryValue(
            port: port, generation: 0, tick: now, version: version, pinned: true)
        write(key, value: value, to: slot)
        return .done
    }

    /// Removes the pinned entry of `address` in `vlan`.
    public func unpin(_ address: MACAddress, vlan: UInt16) -> PinResult {
        let key = MACEntryKey(address, vlan: vlan)
        let home = homeLine(of: key)
        let claim = claimWord(of: home)
        guard take(claim) != nil else { return .busy }
        defer { giveBack(claim) }
        guard let slot = find(key, from: home), value(at: slot).isPinned else { return .absent }
        remove(slot)
        return .done
    }

    /// The home line of an address, for tests of the distribution.
    @_spi(Testing)
    public func homeLineIndex(of address: MACAddress, vlan: UInt16) -> Int {
        Int(homeLine(of: MACEntryKey(address, vlan: vlan)))
    }

    /// How many lines the table has, for tests of the distribution.
    @_spi(Testing)
    public var lineCount: Int { Int(lineMask) + 1 }

    /// How many buckets the table has.
    public var bucketCount: Int { (Int(lineMask) + 1) / 2 }

    /// The live entries, in no order. Each was there at some moment of the call.
    public func entries(now: UInt32) -> [MACEntry] { entries(slice: 0, of: 1, now: now) }

    /// The live entries of one slice of the table; an address is always in the same slice.
    /// - Parameters:
    ///   - slice: 0..<`sliceCount`.
    ///   - sliceCount: into how many slices the table is divided.
    public func entries(slice: Int, of sliceCount: Int, now: UInt32) -> [MACEntry] {
        precondition(slice >= 0 && slice < sliceCount)
        var list: [MACEntry] = []
        for index in bucketCount * slice / sliceCount..<bucketCount * (slice + 1) / sliceCount {
            let bucket = UInt64(truncatingIfNeeded: index)
            for number in 0..<Self.bucketSize {
                let slot = slot(number, from: bucket << 1)
                // As in lookup(destination:vlan:now:).
                let before = slot[Self.lineSize].load(ordering: .acquiring)
                let key = MACEntryKey(word: slot.pointee.load(ordering: .acquiring))
                let after = slot[Self.lineSize].load(ordering: .relaxed)
                let value = MACEntryValue(word: before)
                guard before == after, !key.isFree, isLive(value, now: now) else { continue }
                list.append(
                    MACEntry(
                        address: key.address, vlan: key.vlan, port: value.port,
                        ageTicks: value.isPinned ? 0 : UInt32(max(value.age(now: now), 0)),
                        isPinned: value.isPinned))
            }
        }
        return list
    }
}
