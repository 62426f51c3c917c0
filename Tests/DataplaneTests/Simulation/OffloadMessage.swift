// What peers with and without offload send in the simulation, made so that a receiver can check it
// in whatever form it arrives: whole or cut, with or without a virtio header.
//
//     TCP     acknowledgement number: the message's number; the payload is a stretch of an endless
//             stream, from the place that the sequence number says
//     UDP     the payload is made of cells, one for each datagram that may come of it:
//             0 number (UInt32), 4 index (UInt16), 6 length (UInt16), 8 a stretch of the stream
//     other   a `SimulatedFrame`
//
// Numbers of one peer rise, whatever it sends. The source address says who speaks, and whether it
// speaks the truth: what a peer sends under its second address is noise, of which a receiver
// expects nothing but that it keeps the limits.

import Support
import SwitchCore

/// Something that a peer sends, and that its receivers can recognise.
struct OffloadMessage {
    let ingress: PortID
    let number: UInt32
    /// The port that it is for; nil: all.
    let destination: Int?
    /// The datagram, with its virtio header where the peer sends one.
    let bytes: [UInt8]
    /// Bytes of the frame.
    let length: Int
    /// Bytes that its receivers count: of the payload, or of a frame that has none.
    let byteCount: Int
    /// The packet; nil for a frame of an unknown type.
    let packet: PacketBuilder?
    /// What the peer says of it.
    let header: VirtioNetHeader
    private let mayBeCut: Bool

    init(
        from ingress: PortID, shape: PortShape, number: UInt32, to destination: Int?,
        packet: PacketBuilder, header: VirtioNetHeader
    ) {
        self.ingress = ingress
        self.number = number
        self.destination = destination
        self.packet = packet
        self.header = header
        let frame = packet.bytes
        bytes = header.bytes(of: shape) + frame
        length = frame.count
        byteCount = packet.payload.count
        mayBeCut =
            packet.transport == .tcp
            && (header.gsoType != VirtioNetHeader.gsoNone || shape.offload == .raw)
    }

    init(
        from ingress: PortID, shape: PortShape, number: UInt32, to destination: Int?, length: Int
    ) {
        self.ingress = ingress
        self.number = number
        self.destination = destination
        self.length = length
        byteCount = length
        packet = nil
        header = VirtioNetHeader()
        mayBeCut = false
        bytes =
            header.bytes(of: shape)
            + SimulatedFrame(
                from: ingress, to: destination.station, number: number, length: length
            ).bytes
    }

    /// Whether a port can be sent it, whole or in pieces: the rules, written down once more.
    func fits(_ port: PortShape) -> Bool {
        let isWhole = length <= port.frameLengthMax
        guard let packet else { return isWhole }
        let mtu = port.mtu ?? port.frameLengthMax - 18
        let room = min(
            mtu - (packet.headerLength - packet.network),
            port.frameLengthMax - packet.headerLength)
        let canBeCopied = port.offload == .vnet || packet.headerLength <= 256
        if header.gsoType == VirtioNetHeader.gsoUDPL4 {
            return min(Int(header.gsoSize), byteCount) <= room && canBeCopied
        }
        return isWhole || (mayBeCut && canBeCopied)
    }
}

/// The stream that payloads are stretches of.
enum OffloadStream {
    private static let period = 1 << 16
    private static let bytes: [UInt8] = {
        var generator = SeededGenerator(seed: 1)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
        return once + once
    }()

    /// The stretch of a peer's stream from a place on, at most 65,536 bytes.
    static func stretch(_ ingress: PortID, from place: UInt32, count: Int) -> ArraySlice<UInt8> {
        let start = Int(place &+ UInt32(ingress.rawValue) &* 9973) % period
        return bytes[start..<start + count]
    }

    /// The cell of a datagram, at least 8 bytes.
    static func cell(_ ingress: PortID, number: UInt32, index: Int, length: Int) -> [UInt8] {
        var cell: [UInt8] = []
        cell.reserveCapacity(length)
        cell += withUnsafeBytes(of: number) { Array($0) }
        cell += withUnsafeBytes(of: UInt16(index)) { Array($0) }
        cell += withUnsafeBytes(of: UInt16(length)) { Array($0) }
        return cell + stretch(ingress, from: number &* 31 &+ UInt32(index), count: length - 8)
    }
}

extension VirtioNetHeader {
    /// The header as a port of this shape has it before each frame: its 12 bytes, or none.
    func bytes(of shape: PortShape) -> [UInt8] {
        guard shape.prefix > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: VirtioNetHeader.length)
        bytes.withUnsafeMutableBytes {
            if let base = $0.baseAddress { store(before: base + VirtioNetHeader.length) }
        }
        return bytes
    }

    /// The header at the start of what a port of this shape sent.
    init(startOf bytes: [UInt8], _ shape: PortShape) {
        self = bytes.withUnsafeBytes { buffer in
            guard shape.prefix > 0, let base = buffer.baseAddress else { return VirtioNetHeader() }
            return VirtioNetHeader.load(before: base + VirtioNetHeader.length)
        }
    }
}

extension Int? {
    /// The station behind the port of that number, or all.
    var station: MACAddress {
        map { SimulatedFrame.station(PortID(index: $0)) } ?? .broadcast
    }
}

extension SimulatedFrame {
    /// The second station behind a port: what comes from it is noise.
    static func noisyStation(_ port: PortID) -> MACAddress {
        MACAddress(rawValue: station(port).rawValue + 0x100_0000)
    }
}
