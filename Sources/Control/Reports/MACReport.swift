/// The MAC table (FDB) as `ringswitch macs` shows it.
public struct MACReport: Codable, Sendable, Equatable {
    /// One learned address.
    public struct Entry: Codable, Sendable, Equatable {
        /// Address in the usual notation, such as `52:54:00:12:34:56`.
        public var mac: String
        /// VLAN id; 0 for untagged frames.
        public var vlan: Int
        /// Name of the port that the address was last seen on.
        public var port: String
        /// Seconds since a frame came from the address, at the table's resolution.
        public var ageSeconds: Int
        /// Whether the entry neither moves nor ages.
        public var pinned: Bool

        /// An entry of the table.
        public init(
            mac: String, vlan: Int = 0, port: String, ageSeconds: Int, pinned: Bool = false
        ) {
            self.mac = mac
            self.vlan = vlan
            self.port = port
            self.ageSeconds = ageSeconds
            self.pinned = pinned
        }
    }

    /// The entries that were asked for, in no promised order.
    public var entries: [Entry]

    /// A report of `entries`.
    public init(entries: [Entry]) {
        self.entries = entries
    }
}
