// Learning a source. The usual case, an entry that says the same already, is decided by loads alone, and
// so are refusals; only what changes an entry claims its bucket.

import Synchronization

extension MACTable {
    /// Notes that `source` was seen behind `port`.
    ///
    /// A known station may move at once from a port that was flushed, and else once a tick at most.
    /// Never waits. Writes nothing for `.unchanged`, `.damped` and `.ineligible`, nor if the port holds
    /// its share already.
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
        let index = bucketIndex(of: key)
        let keys = bucket(at: index)
        let state = portState(port)
        let wanted = MACEntryValue(port: port, generation: state.generation, tick: now)
        for slot in 0..<Self.bucketSize where keys[slot].load(ordering: .relaxed) == key.word {
            // The value may be another's if the entry is just being rewritten. Then at worst this frame
            // teaches nothing.
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if (value.word ^ wanted.word) & MACEntryValue.contentMask == 0 { return .unchanged }
            if let result = judge(value, port: port, now: now) { return result }
            return learnClaiming(key, bucket: index, port: port, now: now)
        }
        if Int(state.count) >= portLimit { return .full }
        return learnClaiming(key, bucket: index, port: port, now: now)
    }

    /// What an existing entry says to `port` without being changed, or `nil` if it is to be changed.
    @_noLocks
    private func judge(_ value: MACEntryValue, port: PortID, now: UInt32) -> LearnResult? {
        if value.isPinned { return value.port.rawValue == port.rawValue ? .unchanged : .damped }
        // A dead entry counts as absent, a free one too.
        guard isLive(value, now: now) else { return nil }
        // Within a tick of the last sign of life nothing changes. An age below zero is another worker's
        // newer clock.
        if value.age(now: now) > 0 { return nil }
        return value.port.rawValue == port.rawValue ? .unchanged : .damped
    }

    @inline(never)
    @_noLocks
    private func learnClaiming(
        _ key: MACEntryKey, bucket index: UInt64, port: PortID, now: UInt32
    ) -> LearnResult {
        let claim = claimWord(of: index)
        guard let version = take(claim) else { return .busy }
        defer { giveBack(claim) }
        let keys = bucket(at: index)
        let state = portState(port)
        let value = MACEntryValue(
            port: port, generation: state.generation, tick: now, version: version)
        // The whole bucket, always: an earlier slot may be free while a later one holds the key.
        for slot in 0..<Self.bucketSize where keys[slot].load(ordering: .relaxed) == key.word {
            return update(keys + slot, to: value, now: now)
        }
        return insert(key, bucket: index, value: value, now: now)
    }

    /// Changes the entry at `slot`, whose key is the learned one. The bucket is claimed.
    @_noLocks
    private func update(_ slot: Word, to value: MACEntryValue, now: UInt32) -> LearnResult {
        let stored = slot + Self.bucketSize
        let old = MACEntryValue(word: stored.pointee.load(ordering: .relaxed))
        if let result = judge(old, port: value.port, now: now) { return result }
        let wasLive = isLive(old, now: now)
        if old.port.rawValue == value.port.rawValue && old.isOf(generation: value.generation) {
            // In the share of the port already, also if it had aged. Pairs with the loads in lookup; the
            // key stays, so one store is the whole change.
            stored.pointee.store(value.word, ordering: .releasing)
            return wasLive ? .refreshed : .learned
        }
        // First the newcomer's share, so that a refusal leaves the old entry as it was.
        guard charge(value) else { return .full }
        guard discharge(old) || takeRoom() else {
            // A flush discounted the old entry meanwhile, and others have used the room.
            _ = discharge(value)
            return .full
        }
        stored.pointee.store(value.word, ordering: .releasing)
        return wasLive ? .moved : .learned
    }

    /// Makes a new entry. The bucket is claimed and does not hold the key.
    @_noLocks
    private func insert(
        _ key: MACEntryKey, bucket index: UInt64, value: MACEntryValue, now: UInt32
    ) -> LearnResult {
        let keys = bucket(at: index)
        if let slot = vacantSlot(keys, now: now) {
            guard charge(value) else { return .full }
            let newcomer = portState(value.port).count
            guard takeRoom() || takeOver(near: index, from: newcomer, now: now) else {
                _ = discharge(value)
                return .full
            }
            write(key, value: value, to: slot)
            return .learned
        }
        let newcomer = portState(value.port).count &+ 1
        guard let slot = heaviestSlot(keys, above: newcomer), charge(value) else { return .full }
        let old = MACEntryValue(word: slot[Self.bucketSize].load(ordering: .relaxed))
        guard discharge(old) || takeRoom() else {
            _ = discharge(value)
            return .full
        }
        write(key, value: value, to: slot)
        return .learned
    }

    /// A free slot of a claimed bucket, if need be one whose dead entry is removed for it.
    @_noLocks
    func vacantSlot(_ keys: Word, now: UInt32) -> Word? {
        var dead: Word?
        for slot in 0..<Self.bucketSize {
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if value.isFree { return keys + slot }
            if dead == nil && !isLive(value, now: now) { dead = keys + slot }
        }
        if let dead { remove(dead) }
        return dead
    }

    /// The slot of a claimed bucket whose port holds the most entries in the whole table, provided that
    /// they are more than `count`; never a pinned one.
    @_noLocks
    func heaviestSlot(_ keys: Word, above count: UInt32) -> Word? {
        var heaviest: Word?
        var most = count
        for slot in 0..<Self.bucketSize {
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if value.isFree || value.isPinned { continue }
            let held = portState(value.port).count
            if held > most {
                most = held
                heaviest = keys + slot
            }
        }
        return heaviest
    }

    /// Makes room in a table at its limit: removes from the buckets that follow `index` a dead entry, or
    /// one of a port that holds more than `count` entries, and takes over its place in the total.
    ///
    /// Sixteen buckets hold four entries on average at the limit; a newcomer that finds none is not
    /// learned now, and tries again with its next frame.
    @_noLocks
    private func takeOver(near index: UInt64, from count: UInt32, now: UInt32) -> Bool {
        for distance in 1...16 as ClosedRange<UInt64> {
            let other = (index &+ distance) & bucketMask
            let keys = bucket(at: other)
            guard candidate(keys, above: count, now: now) != nil else { continue }
            let claim = claimWord(of: other)
            guard take(claim) != nil else { continue }
            defer { giveBack(claim) }
            if let slot = candidate(keys, above: count, now: now) { remove(slot) }
            if takeRoom() { return true }
        }
        return false
    }

    @_noLocks
    private func candidate(_ keys: Word, above count: UInt32, now: UInt32) -> Word? {
        for slot in 0..<Self.bucketSize {
            let value = MACEntryValue(
                word: keys[Self.bucketSize &+ slot].load(ordering: .relaxed))
            if !value.isFree && !isLive(value, now: now) { return keys + slot }
        }
        return heaviestSlot(keys, above: count)
    }
}
