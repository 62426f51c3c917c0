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
}

/// What `MACTable.pin` and `MACTable.unpin` did.
public enum PinResult: Sendable {
    /// The entry is pinned, or is no more.
    case done
    /// There was no such pinned entry.
    case absent
    /// No room: the table is at its limit, or the bucket holds four pinned entries.
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
    /// Called round and round, it keeps the counts of ports true and frees room before anyone needs it.
    /// Slices whose buckets hold no dead entry are read and not written.
    /// - Parameters:
    ///   - slice: 0..<`sliceCount`.
    ///   - sliceCount: into how many slices the table is divided.
    /// - Returns: how many entries were removed.
    @discardableResult
    @_noLocks
    public func sweep(slice: Int, of sliceCount: Int, now: UInt32) -> Int {
        precondition(slice >= 0 && slice < sliceCount)
        let bucketCount = Int(truncatingIfNeeded: bucketMask) + 1
        var removed = 0
        for index in bucketCount * slice / sliceCount..<bucketCount * (slice + 1) / sliceCount {
            let bucketIndex = UInt64(truncatingIfNeeded: index)
            let keys = bucket(at: bucketIndex)
            guard holdsDead(keys, now: now) else { continue }
            let claim = claimWord(of: bucketIndex)
            // A bucket that is being written will be met again in the next round.
            guard take(claim) != nil else { continue }
            removed &+= removeDead(keys, now: now)
            giveBack(claim)
        }
        return removed
    }

    @_noLocks
    private func holdsDead(_ keys: Word, now: UInt32) -> Bool {
        for slot in 0..<Self.bucketSize {
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if !value.isFree && !isLive(value, now: now) { return true }
        }
        return false
    }

    @_noLocks
    private func removeDead(_ keys: Word, now: UInt32) -> Int {
        var removed = 0
        for slot in 0..<Self.bucketSize {
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if !value.isFree && !isLive(value, now: now) {
                remove(keys + slot)
                removed &+= 1
            }
        }
        return removed
    }

    /// Binds `address` in `vlan` to `port` until `unpin`, whatever is learned or flushed.
    ///
    /// Replaces an ordinary entry of the address. In a full bucket it replaces another ordinary entry.
    /// - Precondition: `port.index` < `portCapacity`.
    public func pin(_ address: MACAddress, vlan: UInt16, port: PortID, now: UInt32) -> PinResult {
        guard !address.isGroup && !address.isZero else { return .ineligible }
        precondition(port.index < portCapacity)
        let key = MACEntryKey(address, vlan: vlan)
        let index = bucketIndex(of: key)
        let claim = claimWord(of: index)
        guard let version = take(claim) else { return .busy }
        defer { giveBack(claim) }
        let keys = bucket(at: index)
        let slot = slot(of: key, in: keys) ?? vacantSlot(keys, now: now)
        guard let slot = slot ?? heaviestSlot(keys, above: 0) else { return .full }
        let old = MACEntryValue(word: slot[Self.bucketSize].load(ordering: .relaxed))
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
        let index = bucketIndex(of: key)
        let claim = claimWord(of: index)
        guard take(claim) != nil else { return .busy }
        defer { giveBack(claim) }
        guard let slot = slot(of: key, in: bucket(at: index)) else { return .absent }
        let value = MACEntryValue(word: slot[Self.bucketSize].load(ordering: .relaxed))
        guard value.isPinned else { return .absent }
        remove(slot)
        return .done
    }

    private func slot(of key: MACEntryKey, in keys: Word) -> Word? {
        for slot in 0..<Self.bucketSize where keys[slot].load(ordering: .relaxed) == key.word {
            return keys + slot
        }
        return nil
    }

    /// The live entries, in no order. Each was there at some moment of the call.
    public func entries(now: UInt32) -> [MACEntry] {
        var list: [MACEntry] = []
        for index in 0...bucketMask {
            let keys = bucket(at: index)
            for slot in 0..<Self.bucketSize {
                // As in lookup(destination:vlan:now:).
                let before = keys[Self.bucketSize + slot].load(ordering: .acquiring)
                let key = MACEntryKey(word: keys[slot].load(ordering: .acquiring))
                let after = keys[Self.bucketSize + slot].load(ordering: .relaxed)
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
