// Counters: one writer, any reader, sums that balance.

import Support
import SwitchCore
import Testing

@Suite struct CounterTests {
    @Test func `every counter and every drop reason of a block has a word of its own`() {
        let table = CounterTable(portCapacity: 1, workerCount: 0)
        defer { table.deallocate() }
        let block = table.block(port: PortID(index: 0))
        var amount: UInt64 = 1
        for counter in Counter.allCases {
            block.add(counter, amount)
            amount *= 2
        }
        for reason in DropReason.allCases {
            block.add(dropped: reason, amount)
            amount *= 2
        }
        amount = 1
        for counter in Counter.allCases {
            #expect(block[counter] == amount)
            amount *= 2
        }
        for reason in DropReason.allCases {
            #expect(block[dropped: reason] == amount)
            amount *= 2
        }
    }

    @Test func `names of counters are unique and snake_case`() {
        let names = Counter.allCases.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.allSatisfy { $0 == "_" || ($0.isASCII && $0.isLowercase) } })
    }

    @Test func `blocks do not touch each other, and a snapshot is their sum`() {
        let table = CounterTable(portCapacity: 3, workerCount: 2)
        defer { table.deallocate() }
        for index in 0..<3 {
            let port = PortID(index: index)
            table.block(port: port).add(.receivedFrames, UInt64(1 + index))
            table.controlBlock(port: port).add(.receivedFrames, 10)
            table.controlBlock(port: port).add(dropped: .foreign)
        }
        table.workerBlock(0).add(.turns, 5)
        table.workerBlock(1).add(.turns, 6)
        for index in 0..<3 {
            let snapshot = table.snapshot(port: PortID(index: index))
            #expect(snapshot[.receivedFrames] == UInt64(11 + index))
            #expect(snapshot[dropped: .foreign] == 1)
            #expect(snapshot[.turns] == 0)
        }
        let sum = table.snapshot()
        #expect(sum[.receivedFrames] == 36)
        #expect(sum.dropped == 3)
        #expect(sum[.turns] == 11)
    }

    @Test func `gauges are set, taken from, and high-water marks only rise`() {
        let table = CounterTable(portCapacity: 1, workerCount: 0)
        defer { table.deallocate() }
        let block = table.block(port: PortID(index: 0))
        block.set(.queuedBytes, to: 100)
        block.raise(.queueHighWaterBytes, to: 100)
        block.subtract(.queuedBytes, 60)
        block.raise(.queueHighWaterBytes, to: 40)
        #expect(block[.queuedBytes] == 40)
        #expect(block[.queueHighWaterBytes] == 100)
        table.controlBlock(port: PortID(index: 0)).raise(.queueHighWaterBytes, to: 30)
        #expect(table.snapshot()[.queueHighWaterBytes] == 100)
    }

    @Test func `the balance tells whether a frame is missing`() {
        let table = CounterTable(portCapacity: 2, workerCount: 0)
        defer { table.deallocate() }
        let block = table.block(port: PortID(index: 0))
        block.add(.receivedFrames, 10)
        block.add(.floodCopies, 3)
        table.block(port: PortID(index: 1)).add(.sentFrames, 9)
        block.add(dropped: .runt, 2)
        block.set(.queuedFrames, to: 2)
        #expect(table.snapshot().isBalanced)
        block.add(dropped: .runt)
        #expect(!table.snapshot().isBalanced)
    }

    @Test func `one writer a block loses nothing while others read`() {
        let table = CounterTable(portCapacity: 4, workerCount: 1)
        defer { table.deallocate() }
        let rounds = 100_000
        runOnThreads(5) { index in
            if index < 4 {
                let block = table.block(port: PortID(index: index))
                for _ in 0..<rounds {
                    block.add(.receivedBytes, 3)
                    block.add(dropped: .queueFull)
                }
                return
            }
            var last: UInt64 = 0
            for _ in 0..<200 {
                let now = table.snapshot().dropped
                precondition(now >= last, "a counter went back")
                last = now
            }
        }
        #expect(table.snapshot()[.receivedBytes] == UInt64(4 * 3 * rounds))
        #expect(table.snapshot()[dropped: .queueFull] == UInt64(4 * rounds))
    }
}
