public import SwitchCore

/// Builds the bytes of one Ethernet frame.
public struct FrameBuilder: Sendable {
    /// The destination address.
    public var destination: MACAddress
    /// The source address.
    public var source: MACAddress
    /// The type, behind the tag if there is one.
    public var etherType: UInt16
    /// The tag protocol, or `nil` for an untagged frame.
    public var tagProtocol: UInt16?
    /// Priority, drop eligibility and VLAN identifier, as on the wire.
    public var tagControl: UInt16
    /// Bytes of the whole frame, tag included; what the header does not fill is a counted pattern.
    public var length: Int

    /// Describes a frame; by default untagged IPv4 of 60 bytes.
    public init(
        destination: MACAddress, source: MACAddress, etherType: UInt16 = 0x0800,
        tagProtocol: UInt16? = nil, tagControl: UInt16 = 0, length: Int = 60
    ) {
        self.destination = destination
        self.source = source
        self.etherType = etherType
        self.tagProtocol = tagProtocol
        self.tagControl = tagControl
        self.length = length
    }

    /// A frame with a C-tag of this VLAN identifier.
    public func tagged(vlan: UInt16) -> FrameBuilder {
        var copy = self
        copy.tagProtocol = 0x8100
        copy.tagControl = vlan
        return copy
    }

    /// The frame, cut off at `length` even inside its header.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        for shift in stride(from: 40, through: 0, by: -8) {
            result.append(UInt8(truncatingIfNeeded: destination.rawValue >> UInt64(shift)))
        }
        for shift in stride(from: 40, through: 0, by: -8) {
            result.append(UInt8(truncatingIfNeeded: source.rawValue >> UInt64(shift)))
        }
        var words = [etherType]
        if let tagProtocol { words = [tagProtocol, tagControl, etherType] }
        for word in words {
            result.append(UInt8(truncatingIfNeeded: word >> 8))
            result.append(UInt8(truncatingIfNeeded: word))
        }
        while result.count < length { result.append(UInt8(truncatingIfNeeded: result.count)) }
        return Array(result.prefix(length))
    }
}
