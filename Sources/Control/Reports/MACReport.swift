/// The MAC table (FDB) as `ringswitch macs` shows it.
public struct MACReport: Codable, Sendable, Equatable {
    /// One learned address.
    public struct Entry: Codable, Sendable, Equatable {
        /// Address in the usual notation, such as `52:54:00:12:34:56`.
        public var mac: String
        /// VLAN id; 0 for untagged frames.
        public var vlan: UInt16
        /// Name of the port that the address was last seen on.
        public var port: String
        /// Seconds since a frame came from the address, at the table's resolution.
        public var ageSeconds: Int
        /// Whether the entry neither moves nor ages.
        public var pinned: Bool

        public init(
            mac: String, vlan: UInt16 = 0, port: String, ageSeconds: Int, pinned: Bool = false
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

    public init(entries: [Entry]) {
        self.entries = entries
    }
}
