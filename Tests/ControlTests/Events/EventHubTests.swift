// Readers of events: what they get, what they lose, and that they are told.

import Foundation
import Testing

@testable import Control

@Suite(.timeLimit(.minutes(5)))
struct EventHubTests {
    private static let ready = SwitchEvent.ready(name: "lan0")

    private func open(
        _ hub: EventHub, _ kinds: Set<SwitchEvent.Kind> = Set(SwitchEvent.Kind.allCases)
    ) throws -> EventReader {
        try hub.open(kinds, first: Self.ready)
    }

    /// The whole lines that wait for a reader now, read until `marker` came by.
    private func lines(of reader: EventReader, until marker: SwitchEvent) async throws -> [String] {
        var text = ""
        while !text.hasSuffix(String(decoding: EventHub.line(marker), as: UTF8.self)) {
            text += String(decoding: try #require(await reader.take(atMost: 4096)), as: UTF8.self)
        }
        return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .map(String.init)
    }

    private func events(of lines: [String]) throws -> [SwitchEvent] {
        try lines.map { try ReportJSON.decode(SwitchEvent.self, from: Data($0.utf8)) }
    }

    @Test func `a reader gets the types that it wants, and first that the switch is ready`()
        async throws
    {
        let hub = EventHub()
        let everything = try open(hub)
        let some = try open(hub, [.portAdded, .stopping])
        let removed = SwitchEvent.portRemoved("a")
        let added = SwitchEvent.portAdded("b")
        hub.publish(removed)
        hub.publish(added)
        #expect(
            try events(of: await lines(of: everything, until: added))
                == [Self.ready, removed, added])
        #expect(try events(of: await lines(of: some, until: added)) == [added])
        #expect(hub.isFollowed([.macMoved]))
    }

    @Test func `a reader that takes nothing loses lines, and the next one says how many`()
        async throws
    {
        let hub = EventHub()
        let slow = try open(hub)
        let line = EventHub.line(.portAdded("p")).count
        let published = EventBuffer.capacity / line + 50
        for _ in 0..<published { hub.publish(.portAdded("p")) }
        // What is taken makes room for the notice and the marker.
        var taken = try #require(await slow.take(atMost: 4096)).count
        let marker = SwitchEvent.portRemoved("last")
        hub.publish(marker)
        let rest = try await lines(of: slow, until: marker)
        taken += rest.reduce(0) { $0 + $1.utf8.count + 1 }
        #expect(taken <= EventBuffer.capacity + 4096)
        let told = try events(of: Array(rest.suffix(2)))
        #expect(told.map(\.type) == [.eventsLost, .portRemoved])
        let whole = try events(of: Array(rest.dropFirst())).count { $0.type == .portAdded }
        let lost = try #require(told[0].count)
        // One line was cut by the first take; the ones within it are whole.
        let first = (taken - rest.reduce(0) { $0 + $1.utf8.count + 1 } - ready().count) / line
        #expect(Int(lost) + whole + first + 1 == published)
    }

    private func ready() -> [UInt8] { EventHub.line(Self.ready) }

    @Test func `what was lost is told without another event`() async throws {
        let hub = EventHub()
        let reader = try open(hub, [.macLearned])
        hub.omit(7, of: [.macLearned])
        hub.omit(9, of: [.portAdded])
        hub.beat()
        let bytes = try #require(await reader.take(atMost: 4096))
        let event = try ReportJSON.decode(SwitchEvent.self, from: Data(bytes))
        #expect(event.type == .eventsLost && event.count == 7)
    }

    @Test func `a reader that has heard nothing for ten beats gets an empty line`() async throws {
        let hub = EventHub()
        let reader = try open(hub, [.portAdded])
        for _ in 0..<EventHub.quietBeatsMax - 1 { hub.beat() }
        let added = SwitchEvent.portAdded("a")
        hub.publish(added)
        #expect(try await lines(of: reader, until: added).count == 1)
        for _ in 0..<2 * EventHub.quietBeatsMax { hub.beat() }
        #expect(await reader.take(atMost: 4096) == [UInt8(ascii: "\n")])
    }

    @Test func `the end comes behind the last line, and nobody new is let in`() async throws {
        let hub = EventHub()
        let reader = try open(hub)
        let last = SwitchEvent.stopping(name: "lan0")
        hub.publish(last)
        hub.finish()
        #expect(try events(of: await lines(of: reader, until: last)) == [Self.ready, last])
        #expect(await reader.take(atMost: 1) == nil)
        #expect(throws: ControlError(.conflict, "the switch is ending")) { try open(hub) }
    }

    @Test func `readers are few, and one that leaves makes room`() async throws {
        let hub = EventHub()
        var readers = try (0..<EventHub.readerLimit).map { _ in try open(hub) }
        let refusal = #expect(throws: ControlError.self) { try open(hub) }
        #expect(refusal?.code == .conflict)
        readers.removeLast()
        readers.append(try open(hub))
        readers.removeAll()
        #expect(!hub.hasReaders && !hub.isFollowed(SwitchEvent.Kind.allCases))
    }

    @Test func `a reader that waits ends with its task`() async throws {
        let hub = EventHub()
        let reader = try open(hub, [.stopping])
        let task = Task { await reader.take(atMost: 1) }
        task.cancel()
        #expect(await task.value == nil)
    }

    @Test func `each type has the fields that are documented for it`() throws {
        let peer = PeerStatus(pid: 1, uid: 2, command: "c", address: "/a")
        let report = ReloadReport(added: ["a"], replaced: ["b"], needsRestart: ["workers"])
        let events: [SwitchEvent] = [
            Self.ready, .stopping(name: "lan0"), .handedOver(name: "lan0"), .reloaded(report),
            .portAdded("a"),
            .portChanged("a", keys: ["mode"], replaced: true), .portRemoved("a"),
            .portFailed("a", reason: "r"), .portRestored("a"),
            .portCongested("a", queue: (1, 2), drops: ["queue_full": 3]), .portRecovered("a"),
            .portStorms("a", count: 1),
            .connectionEstablished("a", peer), .connectionClosed("a", peer, reason: "r"),
            .connectionRefused("a", peer, reason: "r"), .macLearned("m", vlan: 0, port: "a"),
            .macMoved("m", vlan: 0, port: "a", from: "b"), .macMovesDamped("a", count: 1),
            .eventsLost(1),
        ]
        #expect(events.map(\.type) == SwitchEvent.Kind.allCases)
        for event in events {
            let json = try JSONSerialization.jsonObject(with: Data(EventHub.line(event)))
            let fields = try #require(json as? [String: Any]).keys
            #expect(Set(fields) == Set(["time", "type"] + event.type.fields), "\(event.type)")
        }
    }
}
