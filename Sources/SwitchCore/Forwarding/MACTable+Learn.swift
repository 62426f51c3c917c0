// Learning a source. The usual case, an entry that says the same already, is decided by loads
// alone, and so are refusals; only what changes an entry claims its bucket.

import Synchronization

extension MACTable {
    /// Notes that `source` was seen behind `port`.
    ///
    /// A known station may move at once from a port that was flushed, and else once a tick at most.
    /// Never waits. Writes nothing for `.unchanged`, `.damped` and `.ineligible`, nor if the port
    /// holds its share already.
    /// - Parameter now: coarse ticks, read once a turn.
    /// - Precondition: `port.index` < `portCapacity`.
    @_noLocks
    public func learn(
        source: MACAddress, vlan: UInt16, port: PortID, now: UInt32
    ) -> LearnResult {
        guard !source.isGroup && !source.isZero else { return .ineligible }
        let portIndex = port.index
        precondition(portIndex < portCapacity)
        let key = MACEntryKey(source, vlan: vlan)
        let home = homeLine(of: key)
        let state = portState(port)
        guard let slot = find(key, from: home) else {
            if Int(state.count) >= portLimit { return .full }
            return learnClaiming(key, home: home, port: port, now: now)
        }
        // The value may be another's if the entry is just being rewritten. Then at worst this frame
        // teaches nothing.
        let value = value(at: slot)
        let wanted = MACEntryValue(port: port, generation: state.generation, tick: now)
        if (value.word ^ wanted.word) & MACEntryValue.contentMask == 0 { return .unchanged }
        if let result = judge(value, port: port, now: now) { return result }
        return learnClaiming(key, home: home, port: port, now: now)
    }

    /// What an existing entry says to `port` without being changed, or `nil` if it is to be
    /// changed.
    @_noLocks
    private func judge(_ value: MACEntryValue, port: PortID, now: UInt32) -> LearnResult? {
        if value.isPinned { return value.port.rawValue == port.rawValue ? .unchanged : .damped }
        // A dead entry counts as absent, a free one too.
        guard isLive(value, now: now) else { return nil }
        // Within a tick of the last sign of life nothing changes. An age below zero is another
        // worker's newer clock.
        if value.age(now: now) > 0 { return nil }
        return value.port.rawValue == port.rawValue ? .unchanged : .damped
    }

    @inline(never)
    @_noLocks
    private func learnClaiming(
        _ key: MACEntryKey, home: UInt64, port: PortID, now: UInt32
    ) -> LearnResult {
        let claim = claimWord(of: home)
        guard let version = take(claim) else { return .busy }
        defer { giveBack(claim) }
        let state = portState(port)
        let value = MACEntryValue(
            port: port, generation: state.generation, tick: now, version: version)
        // The whole bucket, always: an earlier slot may be free while a later one holds the key.
        if let slot = find(key, from: home) { return update(slot, to: value, now: now) }
        return insert(key, home: home, value: value, now: now)
    }

    /// Changes the entry at `slot`, whose key is the learned one. The bucket is claimed.
    @_noLocks
    private func update(_ slot: Word, to value: MACEntryValue, now: UInt32) -> LearnResult {
        let old = self.value(at: slot)
        if let result = judge(old, port: value.port, now: now) { return result }
        let wasLive = isLive(old, now: now)
        // The key stays, so one store of the value is the whole change. It pairs with the loads in
        // lookup.
        if old.port.rawValue == value.port.rawValue && old.isOf(generation: value.generation) {
            // In the share of the port already, also if it had aged.
            slot[Self.lineSize].store(value.word, ordering: .releasing)
            return wasLive ? .refreshed : .learned
        }
        guard exchangeShare(of: old, for: value) else { return .full }
        slot[Self.lineSize].store(value.word, ordering: .releasing)
        return wasLive ? .moved : .learned
    }

    /// Makes a new entry. The bucket is claimed and does not hold the key.
    @_noLocks
    private func insert(
        _ key: MACEntryKey, home: UInt64, value: MACEntryValue, now: UInt32
    ) -> LearnResult {
        if let slot = vacantSlot(from: home, now: now) {
            guard charge(value) else { return .full }
            let held = portState(value.port).count
            guard takeRoom() || takeOver(near: home, above: held, now: now) else {
                _ = discharge(value)
                return .full
            }
            write(key, value: value, to: slot)
            return .learned
        }
        // What the port would hold with the newcomer is what a heavier one must hold more than.
        let held = portState(value.port).count &+ 1
        guard let slot = heaviestSlot(from: home, above: held),
            exchangeShare(of: self.value(at: slot), for: value)
        else { return .full }
        write(key, value: value, to: slot)
        return .learned
    }

    /// Puts the new value into the accounts in place of the old one; the total stays.
    /// - Returns: false, with the accounts unchanged, if the new port has its share.
    @_noLocks
    private func exchangeShare(of old: MACEntryValue, for new: MACEntryValue) -> Bool {
        // First the newcomer's share, so that a refusal leaves the old entry as it was.
        guard charge(new) else { return false }
        if discharge(old) || takeRoom() { return true }
        // A flush discounted the old entry, and others have used the room.
        _ = discharge(new)
        return false
    }

    /// A free slot of a claimed bucket, in the home line if there is one, if need be one whose dead
    /// entry is removed for it.
    @_noLocks
    func vacantSlot(from home: UInt64, now: UInt32) -> Word? {
        var dead: Word?
        for number in 0..<Self.bucketSize {
            let slot = slot(number, from: home)
            let value = value(at: slot)
            if value.isFree { return slot }
            if dead == nil && !isLive(value, now: now) { dead = slot }
        }
        if let dead { remove(dead) }
        return dead
    }

    /// The slot of a bucket whose port holds the most entries in the whole table, provided that
    /// they are more than `count`; never a pinned one.
    @_noLocks
    func heaviestSlot(from home: UInt64, above count: UInt32) -> Word? {
        var heaviest: Word?
        var most = count
        for number in 0..<Self.bucketSize {
            let slot = slot(number, from: home)
            let value = value(at: slot)
            if value.isFree || value.isPinned { continue }
            let held = portState(value.port).count
            if held > most {
                most = held
                heaviest = slot
            }
        }
        return heaviest
    }

    /// Makes room in a table at its limit: removes from the buckets that follow `home` a dead
    /// entry, or one of a port that holds more than `count` entries, and takes its place in the
    /// total.
    ///
    /// Sixteen buckets hold eight entries on average at the limit; a newcomer that finds none to
    /// replace is not learned now, and tries again with its next frame.
    @_noLocks
    private func takeOver(near home: UInt64, above count: UInt32, now: UInt32) -> Bool {
        for distance in 1...16 as ClosedRange<UInt64> {
            let other = (home &+ 2 &* distance) & lineMask
            guard replaceableSlot(from: other, above: count, now: now) != nil else { continue }
            // Claimed only now, and looked at again under the claim.
            let claim = claimWord(of: other)
            guard take(claim) != nil else { continue }
            defer { giveBack(claim) }
            if let slot = replaceableSlot(from: other, above: count, now: now) { remove(slot) }
            if takeRoom() { return true }
        }
        return false
    }

    @_noLocks
    private func replaceableSlot(from home: UInt64, above count: UInt32, now: UInt32) -> Word? {
        deadSlot(from: home, now: now) ?? heaviestSlot(from: home, above: count)
    }

    /// A slot of the bucket whose entry is dead, or `nil`.
    @_noLocks
    func deadSlot(from home: UInt64, now: UInt32) -> Word? {
        for number in 0..<Self.bucketSize {
            let slot = slot(number, from: home)
            let value = value(at: slot)
            if !value.isFree && !isLive(value, now: now) { return slot }
        }
        return nil
    }
}
