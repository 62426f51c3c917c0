// Completion tags carry every field unchanged.

import IORing
import Testing

@Suite struct CompletionTagTests {
    @Test(arguments: [UInt8(0), 1, 0x7F, 0xFF], [UInt16(0), 1, 0x8000, 0xFFFF])
    func `every field comes back unchanged`(kind: UInt8, word: UInt16) {
        for slot in [0, 1, 0x80_0000, CompletionTag.slotCount - 1] {
            let tag = CompletionTag(kind: kind, port: word, generation: ~word, slot: slot)
            #expect(tag.kind == kind)
            #expect(tag.port == word)
            #expect(tag.generation == ~word)
            #expect(tag.slot == slot)
            #expect(CompletionTag(rawValue: tag.rawValue) == tag)
        }
    }

    @Test func `fields do not overlap`() {
        let ones = [
            CompletionTag(kind: 0xFF, port: 0, generation: 0, slot: 0),
            CompletionTag(kind: 0, port: 0xFFFF, generation: 0, slot: 0),
            CompletionTag(kind: 0, port: 0, generation: 0xFFFF, slot: 0),
            CompletionTag(kind: 0, port: 0, generation: 0, slot: CompletionTag.slotCount - 1),
        ]
        #expect(ones.reduce(0) { $0 ^ $1.rawValue } == UInt64.max)
        #expect(ones.reduce(0) { $0 + $1.rawValue.nonzeroBitCount } == 64)
    }

    @Test func `a slot beyond 24 bits traps`() async {
        await #expect(processExitsWith: .failure) {
            _ = CompletionTag(kind: 0, port: 0, generation: 0, slot: 1 << 24)
        }
        await #expect(processExitsWith: .failure) {
            _ = CompletionTag(kind: 0, port: 0, generation: 0, slot: -1)
        }
    }
}

@Suite struct CompletionTests {
    @Test func `a completion lies in memory as the kernel writes it`() {
        #expect(MemoryLayout<Completion>.size == 16)
        #expect(MemoryLayout<Completion>.stride == 16)
        #expect(MemoryLayout<Completion>.offset(of: \.tag) == 0)
        #expect(MemoryLayout<Completion>.offset(of: \.result) == 8)
        #expect(MemoryLayout<Completion>.offset(of: \.flags) == 12)
    }

    @Test func `flags tell the buffer and whether more comes`() {
        let tag = CompletionTag(rawValue: 0)
        let plain = Completion(tag: tag, result: 0, flags: 0xABCD_0000)
        #expect(plain.bufferID == nil)
        #expect(!plain.hasMore)
        let full = Completion(tag: tag, result: 0, flags: 0xABCD_0003)
        #expect(full.bufferID == 0xABCD)
        #expect(full.hasMore)
    }
}
