import Support
import SwitchCore
import Testing

/// Cutting: what comes out is byte for byte what the builder makes of the same fields.
@Suite struct SegmentationTests {
    private func packet(_ transport: PacketBuilder.Transport, payload count: Int) -> PacketBuilder {
        var packet = PacketBuilder()
        packet.transport = transport
        packet.identification = 0xFFFE
        packet.sequence = 0xFFFF_FF00
        packet.payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        packet.checksum = .partial
        return packet
    }

    /// The frame as a vnet port hands it over, inspected.
    private func vnetFrame(_ packet: PacketBuilder, gsoSize: Int) -> GuardedFrame {
        let frame = GuardedFrame(packet.bytes, header: packet.vnetHeader(gsoSize: gsoSize))
        #expect(inspectVnet(frame.address, length: frame.length, maxFrame: 1518) == .fine)
        return frame
    }

    private func plan(_ frame: GuardedFrame, mtu: Int = 1500, maxFrame: Int = 1518) -> Segmentation?
    {
        Segmentation(frame.address, length: frame.length, mtu: mtu, maxFrame: maxFrame)
    }

    @Test(arguments: [false, true], [1, 1447, 1448, 1449, 2896, 64_000])
    func `a TCP frame from a raw port is cut to the MTU`(isIPv6: Bool, count: Int) throws {
        var packet = packet(.tcp, payload: count)
        packet.transportOptions = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        packet.isIPv6 = isIPv6
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        let size = isIPv6 ? 1428 : 1448
        let cut = try #require(plan(frame))
        #expect(cut.segmentSize == size)
        #expect(cut.count == (count + size - 1) / size)
        #expect(cut.headerLength == packet.headerLength)
        #expect(cut.segments(of: frame) == packet.segments(of: size).map(\.bytes))
    }

    @Test func `a TCP frame with a header is cut to its size where that fits`() throws {
        let packet = packet(.tcp, payload: 5000)
        let frame = vnetFrame(packet, gsoSize: 1000)
        #expect(try #require(plan(frame)).segmentSize == 1000)
        #expect(try #require(plan(frame, mtu: 576)).segmentSize == 536)
        #expect(try #require(plan(frame, maxFrame: 1018)).segmentSize == 964)
    }

    @Test func `UDP is cut to its size or not at all`() throws {
        let packet = packet(.udp, payload: 5000)
        let frame = vnetFrame(packet, gsoSize: 1472)
        let cut = try #require(plan(frame))
        #expect(cut.segments(of: frame) == packet.segments(of: 1472).map(\.bytes))
        #expect(plan(frame, mtu: 1499) == nil)
        #expect(plan(frame, maxFrame: 1513) == nil)
        let raw = GuardedFrame(packet.bytes)
        inspectRaw(raw.address, length: raw.length)
        #expect(plan(raw) == nil)
    }

    /// FIN and PSH belong to the last segment, CWR to the first, all others to each; a lone segment
    /// is both.
    @Test(arguments: 0...255)
    func `every combination of TCP flags is spread over the segments`(flags: Int) throws {
        var packet = packet(.tcp, payload: 250)
        packet.flags = UInt8(flags)
        let frame = vnetFrame(packet, gsoSize: 100)
        guard flags & 0x22 == 0 else {
            // The urgent pointer and SYN count in sequence numbers, each in one segment only.
            #expect(plan(frame) == nil)
            return
        }
        let segments = try #require(plan(frame)).segments(of: frame)
        #expect(segments.map { Int($0[47]) } == [flags & ~0x09, flags & ~0x89, flags & ~0x80])
        let lone = try #require(plan(vnetFrame(packet, gsoSize: 250)))
        #expect(lone.segments(of: frame).map { Int($0[47]) } == [flags])
    }

    @Test func `identification and sequence number wrap`() throws {
        let frame = vnetFrame(packet(.tcp, payload: 400), gsoSize: 100)
        let segments = try #require(plan(frame)).segments(of: frame)
        #expect(segments.map { $0.wire(at: 18) } == [0xFFFE, 0xFFFF, 0, 1])
        #expect(segments.map { $0.wire(at: 38) } == [0xFFFF, 0xFFFF, 0xFFFF, 0])
        #expect(segments.map { $0.wire(at: 40) } == [0xFF00, 0xFF64, 0xFFC8, 0x2C])
    }

    @Test func `padding is left behind`() throws {
        var packet = packet(.tcp, payload: 3)
        packet.padding = [9, 9, 9]
        let frame = GuardedFrame(packet.bytes)
        inspectRaw(frame.address, length: frame.length)
        let segments = try #require(plan(frame)).segments(of: frame)
        #expect(segments == packet.segments(of: 1460).map(\.bytes))
        #expect(segments[0].count == frame.length - 3)
    }

    @Test func `a frame without payload is one segment`() throws {
        let frame = vnetFrame(packet(.tcp, payload: 0), gsoSize: 100)
        let cut = try #require(plan(frame))
        #expect(cut.count == 1)
        #expect(cut.payload(of: 0) == (54, 0))
    }

    @Test func `1024 segments are the most`() throws {
        let most = vnetFrame(packet(.tcp, payload: 10 * 1024), gsoSize: 10)
        #expect(plan(most)?.count == 1024)
        let more = vnetFrame(packet(.tcp, payload: 10 * 1024 + 1), gsoSize: 10)
        #expect(plan(more) == nil)
    }

    @Test func `256 bytes of headers are the most`() throws {
        var packet = packet(.tcp, payload: 3000)
        packet.isIPv6 = true
        packet.transportOptions = [UInt8](repeating: 1, count: 40)
        let options = {
            PacketBuilder.Extension(number: 60, content: Array(repeating: 0, count: $0))
        }
        packet.tags = [(0x8100, 1)]
        packet.extensions = [options(70), options(62)]
        #expect(packet.headerLength == 254)
        #expect(plan(vnetFrame(packet, gsoSize: 1000)) != nil)
        packet.tags = [(0x88A8, 1), (0x8100, 1)]
        #expect(packet.headerLength == 258)
        #expect(plan(vnetFrame(packet, gsoSize: 1000)) == nil)
    }

    @Test func `an MTU that leaves no room for payload cuts nothing`() {
        let frame = vnetFrame(packet(.tcp, payload: 100), gsoSize: 50)
        #expect(plan(frame, mtu: 40) == nil)
        #expect(plan(frame, maxFrame: 54) == nil)
        #expect(plan(frame, mtu: 41, maxFrame: 55)?.count == 100)
        #expect(plan(frame, mtu: 0, maxFrame: 0) == nil)
    }

    /// Whoever sends a plain frame means it to be one frame; so does a tunnel whose inner checksum
    /// is left to others.
    @Test func `a frame that came whole stays whole`() {
        var packet = packet(.tcp, payload: 1000)
        packet.checksum = .complete
        #expect(plan(GuardedFrame(packet.bytes), mtu: 576) == nil)
        let tunnel = VirtioNetHeader(flags: 1, checksumStart: 60, checksumOffset: 16)
        let frame = GuardedFrame(packet.bytes, header: tunnel)
        #expect(inspectVnet(frame.address, length: frame.length, maxFrame: 1518) == .fine)
        #expect(plan(frame, mtu: 576) == nil)
    }

    @Test(arguments: Seeds.list(300))
    func `random packets are cut as the builder would cut them`(seed: UInt64) throws {
        let note: Comment = "RINGSWITCH_SEED=\(seed)"
        var generator = SeededGenerator(seed: seed)
        let packet = PacketBuilder.random(using: &generator)
        let gsoSize = [1, 536, 1448, 9000, Int.random(in: 1...65_535, using: &generator)]
            .randomElement(using: &generator)!
        let isRaw = packet.transport == .tcp && Bool.random(using: &generator)
        let frame = GuardedFrame(
            packet.bytes, header: isRaw ? VirtioNetHeader() : packet.vnetHeader(gsoSize: gsoSize),
            at: GuardedFrame.Placement.allCases.randomElement(using: &generator)!)
        if isRaw {
            inspectRaw(frame.address, length: frame.length)
        } else {
            #expect(inspectVnet(frame.address, length: frame.length, maxFrame: 0) == .fine, note)
        }
        let mtu = [576, 1280, 1500, 9000, Int.random(in: 0...65_535, using: &generator)]
            .randomElement(using: &generator)!
        let maxFrame = mtu + Int.random(in: 0...30, using: &generator)

        let sizeMax = min(
            mtu - packet.headerLength + packet.network, maxFrame - packet.headerLength)
        let isFixed = packet.transport == .udp
        let size = isFixed ? gsoSize : isRaw ? sizeMax : min(sizeMax, gsoSize)
        let isCut =
            (isFixed ? min(size, packet.payload.count) <= sizeMax : size > 0)
            && packet.payload.count <= size * Segmentation.countMax
        let cut = plan(frame, mtu: mtu, maxFrame: maxFrame)
        try #require((cut != nil) == isCut, note)
        guard let cut else { return }
        #expect(cut.segmentSize == size, note)
        let segments = cut.segments(of: frame)
        #expect(segments == packet.segments(of: size).map(\.bytes), note)
        #expect(segments.allSatisfy { $0.count <= maxFrame }, note)
        #expect(segments.allSatisfy { $0.count - packet.network <= mtu }, note)
        #expect(segments.flatMap { $0[packet.headerLength...] } == packet.payload, note)
    }
}
