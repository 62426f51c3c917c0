public import SwitchCore

/// Makes MAC tables for a test and frees them when the test's suite instance goes.
public final class TableKeeper {
    private var tables: [MACTable] = []

    /// Keeps no table yet.
    public init() {}

    deinit {
        for table in tables { table.deallocate() }
    }

    /// A table that lives as long as the keeper.
    public func table(
        limit: Int = 1024, portCapacity: Int = 16, ageingTicks: UInt32 = 300, seed: UInt64 = 1
    ) -> MACTable {
        let table = MACTable(
            limit: limit, portCapacity: portCapacity, ageingTicks: ageingTicks, seed: seed)
        tables.append(table)
        return table
    }
}

extension MACTable {
    /// Sweeps all slices.
    /// - Returns: how many entries were removed.
    public func sweepAll(now: UInt32) -> Int {
        (0..<7).reduce(0) { $0 + sweep(slice: $1, of: 7, now: now) }
    }
}

/// The unicast address of station `number`.
public func station(_ number: Int) -> MACAddress {
    MACAddress(rawValue: 0x0200_0000_0000 + UInt64(number))
}
