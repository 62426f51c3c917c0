// Storm control: what a meter lets pass, and what the classifier makes of it.

import Support
import SwitchCore
import Testing

@Suite struct FloodMetersTests {
    private let port0 = PortID(index: 0)
    private let port1 = PortID(index: 1)

    /// How many of `count` frames a second of this length pass from second 1 on, offered evenly for
    /// so many seconds.
    private func passed(
        _ rate: Int, offered count: Int, seconds: Int, length: Int32 = 60
    ) -> Int {
        let meters = FloodMeters(portCapacity: 1)
        defer { meters.deallocate() }
        return (0..<count * seconds).count { number in
            meters.admit(
                .group, length: length, from: port0, rate: FloodRate(framesPerSecond: rate),
                now: 1_000_000_000 + UInt64(number) * 1_000_000_000 / UInt64(count))
        }
    }

    @Test func `a storm is cut to the rate, after a burst of a tenth of a second's`() {
        #expect((30_999...31_001).contains(passed(10_000, offered: 100_000, seconds: 3)))
        #expect((309...311).contains(passed(100, offered: 5000, seconds: 3)))
    }

    @Test func `who keeps to the rate loses nothing`() {
        #expect(passed(10_000, offered: 10_000, seconds: 3) == 30_000)
        #expect(passed(10_000, offered: 500, seconds: 3) == 1500)
    }

    @Test func `a rate of zero is no limit, and one below ten lets single frames pass`() {
        #expect(passed(0, offered: 100_000, seconds: 1) == 100_000)
        // The first at once, each other up to a tenth of a second before it is due.
        #expect(passed(1, offered: 1000, seconds: 5) == 6)
    }

    @Test func `a long frame counts once for every 2 KiB begun`() {
        #expect(passed(100, offered: 5000, seconds: 3, length: 2048) == 310)
        #expect((154...156).contains(passed(100, offered: 5000, seconds: 3, length: 2049)))
        #expect((8...10).contains(passed(100, offered: 5000, seconds: 3, length: 65_536)))
    }

    @Test func `groups, unknown addresses and ports are measured apart`() {
        let meters = FloodMeters(portCapacity: 2)
        defer { meters.deallocate() }
        let rate = FloodRate(framesPerSecond: 10)
        for port in [port0, port1] {
            for kind in [FloodMeters.Kind.group, .unknown] {
                let passed = (0..<100).count { _ in
                    meters.admit(kind, length: 60, from: port, rate: rate, now: 5_000_000_000)
                }
                #expect(passed == 2)
            }
        }
    }

    @Test func `a clock that stands still or goes back gives nothing`() {
        let meters = FloodMeters(portCapacity: 1)
        defer { meters.deallocate() }
        func admit(_ now: UInt64) -> Bool {
            meters.admit(
                .unknown, length: 60, from: port0, rate: FloodRate(framesPerSecond: 1), now: now)
        }
        #expect(admit(9_000_000_000))
        #expect(!admit(9_000_000_000) && !admit(2_000_000_000) && !admit(9_899_999_999))
        #expect(admit(9_900_000_000))
    }

    @Test func `what is too much is dropped, counted, and learned from; known addresses pass`() {
        let limited = PortEntry(isAttached: true, floodRate: FloodRate(framesPerSecond: 20))
        let fixture = ClassifierFixture(ports: [limited, PortEntry(isAttached: true)])
        func frames(to destination: MACAddress) -> [FrameBatch.Item] {
            let builder = FrameBuilder(destination: destination, source: station(1))
            return Array(repeating: FrameBatch.Item(builder, from: port0), count: 5)
        }
        let flooded = [Verdict.flood, .flood, .flood, .drop(.stormLimited), .drop(.stormLimited)]
        #expect(fixture.classify(frames(to: .broadcast), now: 1) == flooded)
        #expect(fixture.classify(frames(to: station(2)), now: 1) == flooded)
        #expect(fixture.counts(of: port0).drops == [.stormLimited: 4])
        #expect(fixture.counts(of: port0).receivedFrames == 10)
        let answer = FrameBuilder(destination: station(1), source: station(2))
        let back = FrameBatch.Item(answer, from: port1)
        #expect(fixture.classify([back], now: 1) == [.unicast(to: port0)])
        let known = Array(repeating: Verdict.unicast(to: port1), count: 5)
        #expect(fixture.classify(frames(to: station(2)), now: 1) == known)
        // The other end of the table is not limited.
        let storm = FrameBuilder(destination: .broadcast, source: station(2))
        let many = Array(repeating: FrameBatch.Item(storm, from: port1), count: 1000)
        #expect(fixture.classify(many, now: 1) == Array(repeating: .flood, count: 1000))
    }
}
