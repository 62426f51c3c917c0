import Support
import SwitchCore
import Testing

/// Headers written by a peer: each single lie is refused.
@Suite struct VnetInspectionTests {
    /// A frame with its header, to be spoilt in one place.
    struct Item: Sendable {
        var packet: PacketBuilder
        var header: VirtioNetHeader
        var edit: [(offset: Int, byte: UInt8)] = []

        func inspected(maxFrame: Int = 1518) -> (Inspection, GuardedFrame) {
            var bytes = packet.bytes
            for (offset, byte) in edit { bytes[offset] = byte }
            let frame = GuardedFrame(bytes, header: header)
            let found = inspectVnet(frame.address, length: frame.length, maxFrame: maxFrame)
            if found != .fine { #expect(frame.bytes == bytes) }
            return (found, frame)
        }
    }

    /// One lie about a true header.
    struct Lie: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let tell: @Sendable (inout Item) -> Void

        init(_ name: String, _ tell: @escaping @Sendable (inout Item) -> Void) {
            testDescription = name
            self.tell = tell
        }
    }

    private static func item(
        _ transport: PacketBuilder.Transport = .tcp, isIPv6: Bool = false,
        payload count: Int = 4000,
        gsoSize: Int = 1000
    ) -> Item {
        var packet = PacketBuilder()
        packet.transport = transport
        packet.isIPv6 = isIPv6
        packet.checksum = .partial
        packet.payload = [UInt8](repeating: 3, count: count)
        return Item(packet: packet, header: packet.vnetHeader(gsoSize: gsoSize))
    }

    private static let lies = [
        Lie("the sum begins inside the Ethernet header") { $0.header.checksumStart = 13 },
        Lie("the sum begins at the frame's end") {
            $0.header.checksumStart = UInt16($0.packet.length)
        },
        Lie("the checksum lies behind the frame") {
            let behind = $0.packet.length - Int($0.header.checksumStart) - 1
            $0.header.checksumOffset = UInt16(behind)
        },
        Lie("start and offset wrap") {
            $0.header.checksumStart = .max
            $0.header.checksumOffset = .max
        },
        Lie("the sum begins two bytes before TCP or UDP") { $0.header.checksumStart -= 2 },
        Lie("the sum begins two bytes behind TCP or UDP") { $0.header.checksumStart += 2 },
        Lie("the checksum is another field") { $0.header.checksumOffset -= 2 },
        Lie("segments of nothing") { $0.header.gsoSize = 0 },
        Lie("the other version of IP, or TCP") {
            $0.header.gsoType = $0.header.gsoType == 1 ? 4 : 1
        },
        Lie("fragmented UDP") { $0.header.gsoType = 3 },
        Lie("UDP for TCP, TCPv6 for UDP") { $0.header.gsoType = $0.header.gsoType == 5 ? 4 : 5 },
        Lie("type 2") { $0.header.gsoType = 2 },
        Lie("type 6") { $0.header.gsoType = 6 },
        Lie("UDP tunnel") { $0.header.gsoType |= 0x20 },
        Lie("ECN without TCP") {
            $0.header.gsoType = 0x80 | ($0.packet.transport == .udp ? 5 : 0)
        },
        Lie("a frame of 65,551 bytes") {
            $0.packet.tags = [(0x88A8, 1), (0x8100, 1)]
            $0.packet.payload = Array(repeating: 0, count: 65_000)
            $0.packet.padding = Array(repeating: 0, count: 65_551 - $0.packet.length)
            $0.header.checksumStart += 8
        },
        Lie("an EtherType that is not IP") { $0.edit = [(13, 6)] },
        Lie("a version that is not the EtherType's") { $0.edit = [(14, 0x55)] },
        Lie("a packet longer than the frame") {
            $0.edit = $0.packet.isIPv6 ? [(18, 0xFF)] : [(16, 0xFF)]
        },
        Lie("a packet shorter than its headers") {
            $0.edit = $0.packet.isIPv6 ? [(18, 0), (19, 7)] : [(16, 0), (17, 27)]
        },
        Lie("a protocol that is neither") { $0.edit = [($0.packet.isIPv6 ? 20 : 23, 132)] },
        Lie("a fragment") { $0.edit = $0.packet.isIPv6 ? [(20, 44)] : [(20, 0x20)] },
        Lie("a TCP header too short, a UDP length too long") {
            let start = $0.packet.transportStart
            let isTCP = $0.packet.transport == .tcp
            $0.edit = [(start + (isTCP ? 12 : 4), isTCP ? 0x40 : 0xFF)]
        },
        Lie("a TCP header longer than the packet, a UDP length too short") {
            let start = $0.packet.transportStart
            if $0.packet.transport == .tcp {
                $0.packet.payload = []
                $0.edit = [(start + 12, 0x60)]
            } else {
                $0.edit = [(start + 4, 0)]
            }
        },
    ]

    @Test(arguments: lies, [PacketBuilder.Transport.tcp, .udp])
    func `each single lie is refused`(lie: Lie, transport: PacketBuilder.Transport) {
        for isIPv6 in [false, true] {
            var item = Self.item(transport, isIPv6: isIPv6)
            #expect(item.inspected().0 == .fine)
            lie.tell(&item)
            #expect(item.inspected().0 == .invalid)
        }
    }

    @Test(arguments: [PacketBuilder.Transport.tcp, .udp], [false, true])
    func `a true header becomes canonical`(transport: PacketBuilder.Transport, isIPv6: Bool) {
        var item = Self.item(transport, isIPv6: isIPv6)
        item.packet.tags = [(0x8100, 1)]
        item.header.checksumStart += 4
        var expected = item.header
        expected.headerLength = UInt16(item.packet.headerLength)
        item.header.headerLength = 9999
        item.header.flags |= 0xFE
        expected.flags = 3
        item.header.bufferCount = 1
        let (found, frame) = item.inspected()
        #expect(found == .fine)
        #expect(frame.header == expected)
        #expect(frame.bytes == item.packet.bytes)
        // Without a checksum to complete nobody reads where it is.
        item.header.flags = 2
        item.header.checksumStart = 9999
        expected.flags = 2
        expected.checksumStart = 0
        expected.checksumOffset = 0
        #expect(item.inspected().1.header == expected)
    }

    @Test func `TCP may carry the ECN bit`() {
        for isIPv6 in [false, true] {
            var item = Self.item(isIPv6: isIPv6)
            item.header.gsoType |= 0x80
            let (found, frame) = item.inspected()
            #expect(found == .fine)
            #expect(frame.header.gsoType == (isIPv6 ? 0x84 : 0x81))
        }
    }

    @Test func `a frame of one segment asks for its checksum alone`() {
        var item = Self.item(payload: 100)
        item.header.gsoType = 0
        let (found, frame) = item.inspected()
        #expect(found == .fine)
        let expected = VirtioNetHeader(flags: 1, checksumStart: 34, checksumOffset: 16)
        #expect(frame.header == expected)
        // What is summed need not be TCP or UDP: it may be inside a tunnel.
        item.header.checksumStart = 60
        item.header.checksumOffset = 4
        #expect(item.inspected().0 == .fine)
        item.header.checksumStart = 14
        item.header.checksumOffset = UInt16(item.packet.length - 16)
        #expect(item.inspected().0 == .fine)
        item.header.checksumOffset += 1
        #expect(item.inspected().0 == .invalid)
        item.header.checksumStart = 13
        item.header.checksumOffset = 0
        #expect(item.inspected().0 == .invalid)
    }

    @Test(arguments: [0, 13, 14, 60, 1514, 1518, 1519, 65_551])
    func `a plain frame may be as long as its port's longest`(length: Int) {
        let frame = GuardedFrame([UInt8](repeating: 1, count: length))
        frame.header = VirtioNetHeader(checksumOffset: 7, bufferCount: 1)
        let found = inspectVnet(frame.address, length: length, maxFrame: 1518)
        #expect(found == (length > 1518 ? .oversize : .fine))
        #expect(frame.header == VirtioNetHeader())
    }

    @Test func `a frame with a checksum to complete may be as long as its port's longest`() {
        var item = Self.item(payload: 1464)
        item.header.gsoType = 0
        #expect(item.packet.length == 1518)
        #expect(item.inspected().0 == .fine)
        #expect(item.inspected(maxFrame: 1517).0 == .oversize)
    }

    @Test func `a frame to be cut may have 65,550 bytes`() {
        var item = Self.item(isIPv6: true, payload: 1)
        item.packet.payload = Array(repeating: 0, count: 65_549 - item.packet.length)
        item.packet.padding = [0, 0]
        #expect(item.packet.length == 65_550)
        #expect(item.inspected().0 == .fine)
    }

    @Test(arguments: Seeds.list(200))
    func `every random true header is fine`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        let packet = PacketBuilder.random(using: &generator)
        let gsoSize = Int.random(in: 1...65_535, using: &generator)
        let item = Item(packet: packet, header: packet.vnetHeader(gsoSize: gsoSize))
        let (found, frame) = item.inspected()
        #expect(found == .fine, note)
        #expect(frame.header == item.header, note)
        #expect(frame.bytes == packet.bytes, note)
    }
}
