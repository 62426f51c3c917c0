/// Renders the MAC table for people: sorted by VLAN and address, with a line that counts.
public enum MACText {
    /// The lines of `report`, without line breaks.
    public static func lines(for report: MACReport) -> [String] {
        var table = TextTable([
            ("VLAN", .right), ("MAC", .left), ("PORT", .left), ("AGE", .right), ("PINNED", .left),
        ])
        for entry in report.entries.sorted(by: { ($0.vlan, $0.mac) < ($1.vlan, $1.mac) }) {
            table.append([
                entry.vlan == 0 ? "-" : String(entry.vlan),
                entry.mac.terminalSafe,
                entry.port.terminalSafe,
                HumanUnits.span(seconds: Double(entry.ageSeconds)),
                entry.pinned ? "yes" : "",
            ])
        }
        let count = report.entries.count
        return (count == 0 ? [] : table.lines) + ["\(count) entr\(count == 1 ? "y" : "ies")"]
    }
}
