// Finding a station: nearly always one cache line of the table, and one word of its port.

import Synchronization

extension MACTable {
    /// The port behind which `destination` was seen last in `vlan`.
    ///
    /// Writes nothing and never waits. An entry that is being rewritten counts as absent for the
    /// moment.
    /// - Parameters:
    ///   - destination: a unicast address; group addresses are never in the table.
    ///   - now: coarse ticks, read once a turn.
    /// - Returns: `nil` if the station is unknown: never seen, aged, or its port was flushed.
    @inline(__always)
    @_noLocks
    public func lookup(destination: MACAddress, vlan: UInt16, now: UInt32) -> PortID? {
        let key = MACEntryKey(destination, vlan: vlan)
        // A look at the keys alone passes over the slots that cannot match, without the protocol.
        guard let slot = find(key, from: homeLine(of: key)) else { return nil }
        // Acquire, acquire, relaxed: pairs with the stores in write(_:value:to:).
        let before = slot[Self.lineSize].load(ordering: .acquiring)
        let found = slot.pointee.load(ordering: .acquiring)
        let after = slot[Self.lineSize].load(ordering: .relaxed)
        guard before == after, found == key.word else { return nil }
        let value = MACEntryValue(word: before)
        return isLive(value, now: now) ? value.port : nil
    }
}
