// What every writer uses: claims, the store protocol, and the accounts of ports and table.

import Synchronization

extension MACTable {
    // MARK: Claims

    /// Claims the buckets of a claim word, unless they are claimed.
    /// - Returns: the number of this claim, the version for values written under it; `nil` if
    ///   taken.
    @_noLocks
    func take(_ claim: Word) -> UInt64? {
        let seen = claim.pointee.load(ordering: .relaxed)
        guard seen & 1 == 0 else { return nil }
        // Acquire: what the last holder wrote, it released in giveBack(_:).
        let (exchanged, _) = claim.pointee.compareExchange(
            expected: seen, desired: seen | 1, ordering: .acquiring)
        return exchanged ? seen >> 1 : nil
    }

    /// Ends a claim, and counts it.
    @_noLocks
    func giveBack(_ claim: Word) {
        // Only the holder writes a claimed word; + 1 clears the claim bit and carries into the
        // count.
        let held = claim.pointee.load(ordering: .relaxed)
        claim.pointee.store(held &+ 1, ordering: .releasing)
    }

    // MARK: Entries of a claimed bucket

    /// Stores a new key with its value.
    @_noLocks
    func write(_ key: MACEntryKey, value: MACEntryValue, to slot: Word) {
        // A reader that acquires the new key sees the zero in its second load of the value, or what
        // came later; one that acquires the new value sees the new key.
        slot[Self.lineSize].store(0, ordering: .relaxed)
        slot.pointee.store(key.word, ordering: .releasing)
        slot[Self.lineSize].store(value.word, ordering: .releasing)
    }

    /// Frees a slot and takes its entry out of the accounts.
    @_noLocks
    func remove(_ slot: Word) {
        let old = value(at: slot)
        slot[Self.lineSize].store(0, ordering: .relaxed)
        slot.pointee.store(0, ordering: .releasing)
        if old.isPinned || discharge(old) { giveRoom(1) }
    }

    // MARK: Accounts

    /// Adds one to the share of the value's port.
    /// - Returns: false if the port has its share, or was flushed since the value's generation was
    ///   read.
    @_noLocks
    func charge(_ value: MACEntryValue) -> Bool {
        let word = ports + value.port.index
        var seen = PortState(word: word.pointee.load(ordering: .relaxed))
        while value.isOf(generation: seen.generation) && Int(seen.count) < portLimit {
            let (exchanged, now) = word.pointee.weakCompareExchange(
                expected: seen.word, desired: seen.word &+ 1, ordering: .relaxed)
            if exchanged { return true }
            seen = PortState(word: now)
        }
        return false
    }

    /// Takes one from the share of the value's port.
    /// - Returns: false if the entry is not in the share: a flush has discounted it, with the
    ///   total, or it is pinned, or free.
    @_noLocks
    func discharge(_ value: MACEntryValue) -> Bool {
        if value.isFree || value.isPinned { return false }
        let word = ports + value.port.index
        var seen = PortState(word: word.pointee.load(ordering: .relaxed))
        while value.isOf(generation: seen.generation) && seen.count > 0 {
            let (exchanged, now) = word.pointee.weakCompareExchange(
                expected: seen.word, desired: seen.word &- 1, ordering: .relaxed)
            if exchanged { return true }
            seen = PortState(word: now)
        }
        return false
    }

    /// Adds one to the total.
    /// - Returns: false if the table is at its limit.
    @_noLocks
    func takeRoom() -> Bool {
        let (old, _) = totalWord.pointee.wrappingAdd(1, ordering: .relaxed)
        if old < UInt64(limit) { return true }
        giveRoom(1)
        return false
    }

    /// Takes `count` from the total.
    @_noLocks
    func giveRoom(_ count: UInt64) {
        totalWord.pointee.wrappingSubtract(count, ordering: .relaxed)
    }
}
