// Random traffic of peers of all classes of offload.

import Support
import SwitchCore

struct OffloadTraffic {
    let shapes: [PortShape]
    var generator: SeededGenerator
    /// Largest payload of a message in bytes; a smaller one makes a faster run.
    var payloadMax = 65_535
    private var numbers: [UInt32]
    /// The place in its stream that each peer has come to. They begin so that some soon wrap.
    private var places: [UInt32]

    init(_ shapes: [PortShape], seed: UInt64) {
        self.shapes = shapes
        generator = SeededGenerator(seed: seed)
        numbers = Array(repeating: 0, count: shapes.count)
        places = shapes.indices.map { $0.isMultiple(of: 2) ? 0 &- 5000 : UInt32($0) << 20 }
    }

    /// Ports of random classes and sizes; three or more are of all classes.
    static func shapes(_ count: Int, using generator: inout SeededGenerator) -> [PortShape] {
        let first = Int.random(in: 0..<3, using: &generator)
        return (0..<count).map { index in
            let length = [
                1518, Int.random(in: 600...9018, using: &generator),
                Int.random(in: 600...65_550, using: &generator),
            ].randomElement(using: &generator)!
            var shape = PortShape(
                offload: Offload.allCases[(first + index) % 3], frameLengthMax: length)
            if shape.offload == .vnet {
                shape.mtu = Int.random(in: 576...length - 14, using: &generator)
            }
            return shape
        }
    }

    private mutating func isOneIn(_ count: Int) -> Bool {
        Int.random(in: 0..<count, using: &generator) == 0
    }

    /// The next message of a peer.
    /// - Parameter destination: the port that it is for; nil: all.
    mutating func message(from port: Int, to destination: Int?) -> OffloadMessage {
        let shape = shapes[port]
        let ingress = PortID(index: port)
        numbers[port] += 1
        if isOneIn(6) {
            let lengthMax = min(shape.frameLengthMax, payloadMax)
            return OffloadMessage(
                from: ingress, shape: shape, number: numbers[port], to: destination,
                length: Int.random(in: SimulatedFrame.lengthMin...lengthMax, using: &generator))
        }
        var packet = PacketBuilder.random(using: &generator)
        packet.source = SimulatedFrame.station(ingress)
        packet.destination = destination.station
        // Addresses are known by VLAN, so that a tagged frame to one of them would be a flood.
        if destination != nil { packet.tags = [] }
        packet.acknowledgement = numbers[port]
        packet.payload = []
        packet.padding = []
        packet.checksum = shape.offload == .none || isOneIn(3) ? .complete : .partial
        let isLarge = shape.offload == .vnet && Bool.random(using: &generator)
        let lengthMax = isLarge ? Offload.superframeLengthMax : shape.frameLengthMax
        let count = payloadLength(for: packet, lengthMax: lengthMax)
        let size = Int.random(in: 100...max(100, min(count, 3000)), using: &generator)
        fill(&packet, from: ingress, count: count, cellLength: isLarge ? size : count)
        var header = packet.vnetHeader(gsoSize: size)
        if !isLarge {
            header.gsoType = VirtioNetHeader.gsoNone
            header.gsoSize = 0
            // The kernel sums up all that a header of its own is before; a guest sends no header.
            if shape.offload != .vnet, packet.length + 60 <= lengthMax, isOneIn(4) {
                packet.padding = generator.bytes(Int.random(in: 1...60, using: &generator))
            }
        }
        return OffloadMessage(
            from: ingress, shape: shape, number: numbers[port], to: destination, packet: packet,
            header: header)
    }

    private mutating func payloadLength(for packet: PacketBuilder, lengthMax: Int) -> Int {
        let most = min(
            lengthMax - packet.headerLength,
            65_535 - (packet.headerLength - packet.network), payloadMax)
        let usual = [1500, 1500, 9000, most].randomElement(using: &generator)!
        return Int.random(in: 8...max(8, min(usual, most)), using: &generator)
    }

    /// Gives a packet its payload: the next stretch of the stream, or cells.
    private mutating func fill(
        _ packet: inout PacketBuilder, from ingress: PortID, count: Int, cellLength: Int
    ) {
        if packet.transport == .tcp {
            packet.sequence = places[ingress.index]
            packet.payload += OffloadStream.stretch(
                ingress, from: places[ingress.index], count: count)
            places[ingress.index] &+= UInt32(count)
            return
        }
        while count - packet.payload.count >= 8 {
            packet.payload += OffloadStream.cell(
                ingress, number: numbers[ingress.index],
                index: packet.payload.count / cellLength,
                length: min(cellLength, count - packet.payload.count))
        }
    }

    /// A frame that claims what is not so, or says nothing that a switch understands.
    mutating func noise(from port: Int) -> [UInt8] {
        var packet = PacketBuilder.randomNonsense(using: &generator)
        packet.source = SimulatedFrame.noisyStation(PortID(index: port))
        packet.destination = isOneIn(2) ? .broadcast : SimulatedFrame.station(PortID(index: 0))
        packet.payload = Array(packet.payload.prefix(payloadMax))
        var header = packet.vnetHeader(gsoSize: Int.random(in: 0...3000, using: &generator))
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: header.gsoType = generator.bytes(1)[0]
        case 1: header.checksumStart = generator.word() & 0x3FF
        case 2: header.gsoType = VirtioNetHeader.gsoNone
        default: break
        }
        return header.bytes(of: shapes[port]) + packet.damaged(using: &generator)
    }
}
