import Control
import Foundation
import Glibc
import Synchronization

/// A host on the LAN: a network namespace whose `eth0` is a port of the switch.
final class LANHost: Sendable {
    /// Which work the host leaves to others, and how it says so.
    enum Card: String, CaseIterable, Sendable {
        /// It sends large frames and unfinished checksums without a word, as libkrun does.
        case raw
        /// It leaves nothing to others.
        case none
        /// A TAP device of the switch, with a virtio header.
        case vnet
    }

    /// What a host says that it exchanged with the switch.
    struct Exchange: Decodable, Sendable {
        /// One direction.
        struct Direction: Decodable, Sendable {
            let frames: UInt64
            let bytes: UInt64
        }
        let toSwitch: Direction
        let fromSwitch: Direction
    }

    let card: Card
    let namespace: NetworkNamespace
    /// Name of the host's port.
    let name: String
    /// The host's addresses without the length of their networks.
    let address: String, address6: String
    private let hasIPv6: Bool
    /// What carries frames between a port's socket and the namespace.
    private let attachment: Mutex<ChildProcess?>

    /// Makes the namespace; it is on the LAN once it has joined.
    /// - Parameters:
    ///   - number: 1...254, the last part of the addresses.
    ///   - hasIPv6: a host without it sends nothing that nobody asked for.
    init(_ card: Card, _ number: Int, hasIPv6: Bool = false) async throws {
        self.card = card
        self.hasIPv6 = hasIPv6
        name = "\(card)-\(number)"
        address = "10.0.0.\(number)"
        address6 = "fd00::\(number)"
        namespace = try NetworkNamespace(name)
        attachment = Mutex(nil)
        // Its addresses count at once.
        try await run(
            "sh", "-ec",
            """
            cd /proc/sys/net/ipv6/conf
            echo 0 > default/accept_dad
            for i in all default; do echo \(hasIPv6 ? 0 : 1) > $i/disable_ipv6; done
            """)
    }

    /// The host's port, to be put into a configuration.
    var port: String {
        let head = "[[port]]\nname = \"\(name)\"\noffload = \"\(card)\"\n"
        guard card == .vnet else { return head + "type = \"unixgram\"\n" }
        return head
            + """
            type = "tap"
            device = "eth0"
            netns = "\(namespace.name)"
            address = \(networks)

            """
    }

    private var networks: [String] { [address + "/24"] + (hasIPv6 ? [address6 + "/64"] : []) }

    /// Attaches hosts to a switch that has their ports, and waits until they are there.
    static func join(_ hosts: [LANHost], _ lan: SwitchProcess) async throws {
        for host in hosts where host.card != .vnet {
            let child = try ChildProcess(
                [SwitchProcess.executable, "attach", lan.socket(host.name + ".sock"), "--json"]
                    + ["--netns", host.namespace.name] + (host.card == .raw ? ["--offload"] : [])
                    + host.networks.flatMap { ["--address", $0] })
            host.attachment.withLock { $0 = child }
        }
        try await lan.allAttached(hosts.map(\.name))
    }

    /// Runs a program on the host, which must succeed.
    func run(_ command: String...) async throws {
        let child = try ChildProcess(namespace.inside(command))
        let result = try await child.result()
        guard result.isSuccess else { throw child.failure("failed") }
    }

    /// Leaves the LAN, which the card of a `vnet` host does with the switch.
    func leave() async throws -> Exchange {
        guard let child = attachment.withLock({ $0 }) else {
            return try await namespace.exchange(of: "eth0")
        }
        child.send(signal: SIGTERM)
        let result = try await child.result()
        guard result.isSuccess else { throw child.failure("did not end well") }
        return try ReportJSON.decode(Exchange.self, from: Data(result.standardOutput.utf8))
    }
}
