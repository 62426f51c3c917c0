// Frame headers at every length that matters, with and without tags.

import Support
import SwitchCore
import Testing

@Suite struct FrameHeaderTests {
    private let destination = MACAddress(rawValue: 0x0211_2233_4455)
    private let source = MACAddress(rawValue: 0x06AA_BBCC_DDEE)

    /// Parses `bytes` from an allocation of exactly their size, at an odd address.
    private func parse(_ bytes: [UInt8]) -> FrameHeader? {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: bytes.count + 1, alignment: 16)
        defer { memory.deallocate() }
        let start = memory + 1
        start.copyMemory(from: bytes, byteCount: bytes.count)
        return FrameHeader(start, length: bytes.count)
    }

    private func frame(
        type: UInt16 = 0x0800, tag: UInt16? = nil, control: UInt16 = 0, length: Int
    ) -> [UInt8] {
        FrameBuilder(
            destination: destination, source: source, etherType: type, tagProtocol: tag,
            tagControl: control, length: length
        ).bytes
    }

    @Test(arguments: [0, 1, 13]) func `a runt has no header`(length: Int) {
        #expect(parse(frame(length: length)) == nil)
        #expect(parse(frame(tag: 0x8100, length: length)) == nil)
    }

    @Test(arguments: [14, 15, 17, 18, 60, 1514])
    func `an untagged frame needs 14 bytes`(length: Int) {
        let header = parse(frame(type: 0x86DD, length: length))
        #expect(header?.destination == destination)
        #expect(header?.source == source)
        #expect(header?.etherType == 0x86DD)
        #expect(header?.vlan == 0)
        #expect(header?.isTagged == false)
    }

    @Test(arguments: [0x8100, 0x88A8] as [UInt16], [14, 15, 16, 17])
    func `a tagged frame shorter than 18 bytes has no header`(tag: UInt16, length: Int) {
        #expect(parse(frame(tag: tag, length: length)) == nil)
    }

    @Test(arguments: [0x8100, 0x88A8] as [UInt16], [18, 19, 60])
    func `a tagged frame needs 18 bytes`(tag: UInt16, length: Int) {
        let header = parse(frame(type: 0x0806, tag: tag, control: 0xB123, length: length))
        #expect(header?.destination == destination)
        #expect(header?.source == source)
        #expect(header?.etherType == 0x0806)
        #expect(header?.vlan == 0x123)
        #expect(header?.isTagged == true)
    }

    @Test(arguments: [0x8100, 0x88A8] as [UInt16])
    func `the identifier is the low 12 bits of every tag control word`(tag: UInt16) {
        var bytes = frame(tag: tag, length: 60)
        var wrong = 0
        for control in 0...UInt16.max {
            bytes[14] = UInt8(control >> 8)
            bytes[15] = UInt8(control & 0xFF)
            let header = parse(bytes)
            if header?.vlan != control & 0x0FFF || header?.isTagged != true { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    @Test func `every type but the two tag protocols means an untagged frame`() {
        var bytes = frame(length: 60)
        var wrong = 0
        for type in 0...UInt16.max {
            bytes[12] = UInt8(type >> 8)
            bytes[13] = UInt8(type & 0xFF)
            let header = parse(bytes)
            let isTag = type == 0x8100 || type == 0x88A8
            if header?.isTagged != isTag { wrong += 1 }
            if !isTag && (header?.etherType != type || header?.vlan != 0) { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    @Test func `of two tags the outer one counts`() {
        let header = parse(frame(type: 0x8100, tag: 0x88A8, control: 100, length: 60))
        #expect(header?.vlan == 100)
        #expect(header?.etherType == 0x8100)
    }

    @Test func `every address bit is read from its place`() {
        for bit in 0..<48 {
            let one = MACAddress(rawValue: 1 << UInt64(bit))
            let toOne = FrameBuilder(destination: one, source: source).bytes
            #expect(parse(toOne)?.destination == one)
            #expect(parse(toOne)?.source == source)
            let fromOne = FrameBuilder(destination: destination, source: one).bytes
            #expect(parse(fromOne)?.source == one)
            #expect(parse(fromOne)?.destination == destination)
        }
    }
}
