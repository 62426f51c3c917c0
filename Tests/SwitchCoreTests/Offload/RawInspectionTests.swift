import Support
import SwitchCore
import Testing

/// Frames without a header: partial checksums are recognised, and only these.
@Suite struct RawInspectionTests {
    private let nothing = VirtioNetHeader(bufferCount: 1)

    /// A change that makes a packet with a partial checksum one that must be left alone.
    struct Change: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let apply: @Sendable (PacketBuilder) -> [UInt8]

        init(_ name: String, _ apply: @escaping @Sendable (PacketBuilder) -> [UInt8]) {
            testDescription = name
            self.apply = apply
        }

        /// The frame with one byte of an untagged packet replaced.
        init(_ name: String, at offset: Int, _ byte: UInt8) {
            self.init(name) {
                var bytes = $0.bytes
                bytes[offset] = byte
                return bytes
            }
        }

        /// The frame with the 16 bits at an offset changed by `difference`.
        init(_ name: String, at offset: Int, by difference: Int) {
            self.init(name) {
                var bytes = $0.bytes
                let word = Int(bytes.wire(at: offset)) + difference
                bytes.store(wire: UInt16(truncatingIfNeeded: word), at: offset)
                return bytes
            }
        }
    }

    private static func packet(isIPv6: Bool, _ transport: PacketBuilder.Transport) -> PacketBuilder
    {
        var packet = PacketBuilder()
        packet.isIPv6 = isIPv6
        packet.transport = transport
        packet.checksum = .partial
        packet.payload = [UInt8](repeating: 3, count: 100)
        return packet
    }

    private func inspect(_ bytes: [UInt8]) -> GuardedFrame {
        let frame = GuardedFrame(
            bytes, header: VirtioNetHeader(flags: 0xFF, gsoType: 1, headerLength: 9, gsoSize: 9))
        inspectRaw(frame.address, length: frame.length)
        #expect(frame.bytes == bytes)
        return frame
    }

    @Test(arguments: [false, true], [PacketBuilder.Transport.tcp, .udp])
    func `a partial checksum is recognised`(isIPv6: Bool, transport: PacketBuilder.Transport) {
        var packet = Self.packet(isIPv6: isIPv6, transport)
        let header = VirtioNetHeader(
            flags: 1, checksumStart: isIPv6 ? 54 : 34,
            checksumOffset: transport == .tcp ? 16 : 6, bufferCount: 1)
        #expect(inspect(packet.bytes).header == header)
        packet.tags = [(0x88A8, 7), (0x8100, 8)]
        #expect(Int(inspect(packet.bytes).header.checksumStart) == packet.transportStart)
    }

    @Test(arguments: [false, true], [PacketBuilder.Transport.tcp, .udp])
    func `other checksums are left alone`(isIPv6: Bool, transport: PacketBuilder.Transport) {
        var packet = Self.packet(isIPv6: isIPv6, transport)
        for checksum in [PacketBuilder.Checksum.complete, .wrong(1), .wrong(0x8000), .zero] {
            packet.checksum = checksum
            #expect(inspect(packet.bytes).header == nothing)
        }
        packet.checksum = .partial
        let bytes = packet.bytes
        for bit in 0..<16 {
            var changed = bytes
            let field = packet.transportStart + packet.checksumOffset
            changed.store(wire: bytes.wire(at: field) ^ 1 << UInt16(bit), at: field)
            #expect(inspect(changed).header == nothing)
        }
    }

    /// Padding is not summed, but whoever reads the header would: so nobody is left to do it.
    @Test(arguments: [false, true], [PacketBuilder.Transport.tcp, .udp])
    func `a partial checksum before padding is completed at once`(
        isIPv6: Bool, transport: PacketBuilder.Transport
    ) {
        var packet = Self.packet(isIPv6: isIPv6, transport)
        packet.padding = [1, 2, 3, 4, 5]
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        packet.checksum = .complete
        #expect(frame.bytes == packet.bytes)
        #expect(frame.header == nothing)
    }

    private static let changes4 = [
        Change("EtherType ARP", at: 13, 6),
        Change("version 6", at: 14, 0x65),
        Change("a header of 16 bytes", at: 14, 0x44),
        Change("a header longer than the packet", at: 14, 0x4F),
        Change("total length one more than the frame", at: 16, by: 1),
        Change("total length one less, behind it padding", at: 16, by: -1),
        Change("total length less than the header", at: 16, by: -101),
        Change("more fragments", at: 20, 0x20),
        Change("a fragment offset", at: 21, 1),
        Change("protocol ICMP", at: 23, 1),
        Change("three tags") {
            var packet = $0
            packet.tags = [(0x88A8, 1), (0x8100, 2), (0x8100, 3)]
            return packet.bytes
        },
    ]

    @Test(arguments: changes4, [PacketBuilder.Transport.tcp, .udp])
    func `IPv4 that is not a whole packet is left alone`(
        change: Change, transport: PacketBuilder.Transport
    ) {
        var packet = Self.packet(isIPv6: false, transport)
        packet.payload = []
        #expect(inspect(packet.bytes).header.needsChecksum)
        #expect(inspect(change.apply(packet)).header == nothing)
    }

    private static let changes6 = [
        Change(
            "EtherType IPv4",
            { packet in
                var bytes = packet.bytes
                bytes.store(wire: 0x0800, at: 12)
                return bytes
            }),
        Change("version 4", at: 14, 0x45),
        Change("payload length one more than the frame", at: 18, by: 1),
        Change("payload length one less", at: 18, by: -1),
        Change("next header ICMPv6", at: 20, 58),
        Change("no next header", at: 20, 59),
        Change("a fragment header", at: 20, 44),
        Change("an authentication header", at: 20, 51),
        Change("an extension header longer than the packet") {
            var packet = $0
            packet.extensions = [.init(number: 60, content: [UInt8](repeating: 0, count: 6))]
            var bytes = packet.bytes
            bytes[55] = 255
            return bytes
        },
        Change("nine extension headers") {
            var packet = $0
            let options = PacketBuilder.Extension(number: 60, content: [0, 0, 0, 0, 0, 0])
            packet.extensions = Array(repeating: options, count: 9)
            return packet.bytes
        },
        Change("a route of an unknown kind with stops left") {
            var packet = $0
            packet.extensions = [
                .init(number: 43, content: [3, 1] + Array(repeating: 0, count: 20))
            ]
            return packet.bytes
        },
        Change("a route with stops left and none in it") {
            var packet = $0
            packet.extensions = [.init(number: 43, content: [4, 1, 0, 0, 0, 0])]
            return packet.bytes
        },
    ]

    @Test(arguments: changes6, [PacketBuilder.Transport.tcp, .udp])
    func `IPv6 that is not a whole packet is left alone`(
        change: Change, transport: PacketBuilder.Transport
    ) {
        var packet = Self.packet(isIPv6: true, transport)
        packet.payload = []
        #expect(inspect(packet.bytes).header.needsChecksum)
        #expect(inspect(change.apply(packet)).header == nothing)
    }

    @Test func `TCP and UDP headers that do not fit their packet are left alone`() {
        let tcp = Self.packet(isIPv6: false, .tcp)
        for offset in [0, 1, 4] {
            var bytes = tcp.bytes
            bytes[46] = UInt8(offset << 4)
            #expect(inspect(bytes).header == nothing)
        }
        var short = tcp
        short.payload = [UInt8](repeating: 0, count: 39)
        var bytes = short.bytes
        bytes[46] = 0xF0
        #expect(inspect(bytes).header == nothing)
        for difference in [-1, 1, -108] {
            var bytes = Self.packet(isIPv6: false, .udp).bytes
            bytes.store(wire: UInt16(108 + difference), at: 38)
            #expect(inspect(bytes).header == nothing)
        }
    }

    @Test func `eight extension headers are walked`() {
        var packet = Self.packet(isIPv6: true, .tcp)
        let options = PacketBuilder.Extension(number: 60, content: [0, 0, 0, 0, 0, 0])
        packet.extensions = Array(repeating: options, count: 8)
        #expect(inspect(packet.bytes).header.needsChecksum)
    }

    /// The pseudo-header names the last stop; with none left that is the address in the IP header.
    @Test(arguments: [0, 2, 4] as [UInt8], [0, 1] as [UInt8])
    func `of a route the last stop counts`(kind: UInt8, stopsLeft: UInt8) {
        var packet = Self.packet(isIPv6: true, .udp)
        let last = packet.destinationHost
        let other = [UInt8](repeating: 9, count: 16)
        let stops = kind == 0 ? other + last : last + other
        packet.extensions = [.init(number: 43, content: [kind, stopsLeft, 0, 0, 0, 0] + stops)]
        packet.nextStop = other
        #expect(inspect(packet.bytes).header.needsChecksum == (stopsLeft != 0))
        packet.nextStop = nil
        #expect(inspect(packet.bytes).header.needsChecksum)
    }

    @Test(arguments: [false, true], [PacketBuilder.Transport.tcp, .udp])
    func `a frame cut off anywhere is left alone`(
        isIPv6: Bool, transport: PacketBuilder.Transport
    ) {
        let bytes = Self.packet(isIPv6: isIPv6, transport).bytes
        for length in 0..<bytes.count {
            #expect(inspect(Array(bytes.prefix(length))).header == nothing)
        }
    }

    @Test(arguments: Seeds.list(300))
    func `of random packets exactly the partial checksums are recognised`(seed: UInt64) {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        let packet = PacketBuilder.random(using: &generator)
        let bytes = packet.bytes
        let frame = GuardedFrame(bytes)
        inspectRaw(frame.address, length: frame.length)
        var expected = nothing
        let start = packet.transportStart
        let isPartial = bytes.wire(at: start + packet.checksumOffset) == packet.pseudoHeaderSum
        if isPartial && packet.padding.isEmpty {
            expected.flags = 1
            expected.checksumStart = UInt16(start)
            expected.checksumOffset = UInt16(packet.checksumOffset)
        }
        #expect(frame.header == expected, note)
        #expect((frame.bytes == bytes) == (!isPartial || packet.padding.isEmpty), note)
    }
}
