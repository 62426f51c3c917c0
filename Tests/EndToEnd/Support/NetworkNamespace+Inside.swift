// What a test does inside of a namespace, and what it can see there.

import Foundation
import Glibc

/// setns(2), which Swift's view of the C library leaves out.
private let setns = unsafeBitCast(
    dlsym(nil, "setns"), to: (@convention(c) (Int32, Int32) -> Int32).self)

extension NetworkNamespace {
    /// Whether cards can have VLANs here, which not every kernel is built with.
    static let hasVLANs: Bool = {
        guard isAvailable, let probe = try? NetworkNamespace("vlan") else { return false }
        let card = ["tuntap", "add", "card", "mode", "tap"]
        let vlan = ["link", "add", "link", "card", "name", "card.5", "type", "vlan", "id", "5"]
        return [card, vlan].allSatisfy { (try? ip(["-n", probe.name] + $0)) != nil }
    }()

    /// Runs `body` on a thread of its own inside the namespace, as a program there would run.
    ///
    /// A socket that it makes stays in the namespace, whoever uses it.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
    {
        let path = "/run/netns/" + name
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let entrance = open(path, O_RDONLY | O_CLOEXEC)
                        defer { close(entrance) }
                        try NetworkSocket.demand("setns") { setns(entrance, 0) }
                        return try body()
                    })
            }
        }
    }

    /// What the stack of the namespace counted as wrong checksums: "TcpInCsumErrors 3".
    func checksumErrors() async throws -> [String] {
        try await run {
            var counters: [(name: String, value: String)] = []
            for file in ["snmp", "netstat"] {
                // Two lines for each protocol: "Tcp: InSegs InErrs", "Tcp: 5 0".
                let rows = try Self.words(of: file)
                for row in stride(from: 0, to: rows.count - 1, by: 2) {
                    let title = rows[row][0].dropLast()
                    for (name, value) in zip(rows[row], rows[row + 1]).dropFirst() {
                        counters.append((title + name, value))
                    }
                }
            }
            for row in try Self.words(of: "snmp6") { counters.append((row[0], row[1])) }
            return counters.filter { $0.name.hasSuffix("InCsumErrors") && $0.value != "0" }
                .map { "\($0.name) \($0.value)" }
        }
    }

    /// The lines of a file below /proc/net, as the calling thread's namespace has it.
    private static func words(of file: String) throws -> [[String]] {
        try String(contentsOfFile: "/proc/thread-self/net/" + file, encoding: .utf8)
            .split(separator: "\n")
            .map { $0.split { $0 == " " || $0 == "\t" }.map(String.init) }
    }

    /// What the stack exchanged with a network card.
    func exchange(of device: String) async throws -> LANHost.Exchange {
        try await run {
            let row = try Self.words(of: "dev").first { $0[0] == device + ":" } ?? []
            // Eight numbers of each direction, first bytes and frames; received ones first.
            let numbers = row.dropFirst().compactMap { UInt64($0) }
            guard numbers.count == 16 else {
                throw ChildProcess.Failure(description: "no device \(device)")
            }
            return LANHost.Exchange(
                toSwitch: .init(frames: numbers[9], bytes: numbers[8]),
                fromSwitch: .init(frames: numbers[1], bytes: numbers[0]))
        }
    }
}
