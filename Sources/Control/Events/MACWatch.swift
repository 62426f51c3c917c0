// Which addresses are new or have moved, found by looking at the MAC table: the path of a frame
// does nothing for it.
//
// Each look reads one slice of the table and compares it with what the last look at that slice
// found. Tables up to a limit of 65,536 addresses are one slice, so a look is the whole table;
// larger ones take several looks, so that none holds up the thread of control for long.

internal import SwitchCore

/// Finds what changed in the MAC table between two looks.
struct MACWatch {
    /// Changes that a look tells one by one.
    static let changesMax = 256
    /// Buckets that a look reads.
    static let bucketsMax = 131_072

    /// An address that is behind another port than before; `from` is `nil` where it is new.
    struct Change: Equatable {
        let address: MACAddress
        let vlan: UInt16
        let port: PortID
        let from: PortID?
    }

    private struct Key: Hashable {
        let address: UInt64
        let vlan: UInt16
    }

    private let table: MACTable
    private var slices: [[Key: PortID]]
    private var next = 0

    /// Watches from now on: what the table holds already is not new.
    init(_ table: MACTable, now: UInt32, bucketsMax: Int = bucketsMax) {
        self.table = table
        let count = max(1, table.bucketCount / bucketsMax)
        slices = Array(repeating: [:], count: count)
        for slice in 0..<count { slices[slice] = Self.read(table, slice, of: count, now).ports }
    }

    /// Looks at the next slice.
    /// - Returns: changes, at most `changesMax`, and how many there were beyond.
    mutating func look(now: UInt32) -> (changes: [Change], omitted: Int) {
        let before = slices[next]
        let (ports, entries) = Self.read(table, next, of: slices.count, now)
        slices[next] = ports
        next = (next + 1) % slices.count
        var changes: [Change] = []
        var omitted = 0
        for entry in entries {
            let from = before[Key(address: entry.address.rawValue, vlan: entry.vlan)]
            guard from != entry.port else { continue }
            guard changes.count < Self.changesMax else {
                omitted += 1
                continue
            }
            changes.append(
                Change(address: entry.address, vlan: entry.vlan, port: entry.port, from: from))
        }
        return (changes, omitted)
    }

    private static func read(
        _ table: MACTable, _ slice: Int, of count: Int, _ now: UInt32
    ) -> (ports: [Key: PortID], entries: [MACEntry]) {
        let entries = table.entries(slice: slice, of: count, now: now)
        let pairs = entries.map { (Key(address: $0.address.rawValue, vlan: $0.vlan), $0.port) }
        // An address that is rewritten while the table is read may show up twice.
        return (Dictionary(pairs, uniquingKeysWith: { $1 }), entries)
    }
}
