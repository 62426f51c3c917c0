// The frames of the simulation: each says where it comes from and how many its sender sent before,
// and every byte of the rest follows from that, so that a receiver notices loss of order and
// damage.
//
//     0 destination, 6 source, 12 type 0x88B5 (local experiments), 14 ingress port (UInt16),
//     16 number (UInt32), 20 length (UInt32), 24 pattern

import SwitchCore

struct SimulatedFrame {
    var ingress: PortID
    var number: UInt32
    var bytes: [UInt8]

    static let lengthMin = 24

    /// The station behind a port.
    static func station(_ port: PortID) -> MACAddress {
        MACAddress(rawValue: 0x0200_0000_1000 + UInt64(port.rawValue))
    }

    init(from ingress: PortID, to destination: MACAddress, number: UInt32, length: Int) {
        precondition(length >= Self.lengthMin)
        self.ingress = ingress
        self.number = number
        bytes = []
        bytes.reserveCapacity(length)
        for address in [destination, Self.station(ingress)] {
            for shift in stride(from: 40, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: address.rawValue >> UInt64(shift)))
            }
        }
        bytes += [0x88, 0xB5]
        bytes += withUnsafeBytes(of: ingress.rawValue) { Array($0) }
        bytes += withUnsafeBytes(of: number) { Array($0) }
        bytes += withUnsafeBytes(of: UInt32(length)) { Array($0) }
        while bytes.count < length { bytes.append(Self.pattern(number, bytes.count)) }
    }

    /// Reads a delivered frame; nil if any of its bytes is not as it was sent.
    init?(delivered: [UInt8]) {
        guard delivered.count >= Self.lengthMin else { return nil }
        (ingress, number) = delivered.withUnsafeBytes {
            (
                PortID(rawValue: $0.loadUnaligned(fromByteOffset: 14, as: UInt16.self)),
                $0.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
            )
        }
        bytes = delivered
        let length = delivered.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: 20, as: UInt32.self)
        }
        guard Int(length) == delivered.count else { return nil }
        for index in Self.lengthMin..<delivered.count
        where delivered[index] != Self.pattern(number, index) { return nil }
    }

    private static func pattern(_ number: UInt32, _ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: UInt32(truncatingIfNeeded: index) &* 31 &+ number &* 7)
    }
}
