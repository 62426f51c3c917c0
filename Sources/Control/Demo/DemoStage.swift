// Everything the demo starts, and how it is taken away again: whatever happens, in the reverse
// order, each child reaped by its own pidfd. The children have process groups of their own, so that
// Ctrl-C reaches the demo alone and the order is kept.

import Foundation
import Glibc

/// The demo's switch, hosts and directory.
///
/// Not thread-safe.
final class DemoStage {
    /// How long a child may take to end after SIGTERM.
    private static let graceMilliseconds: Int32 = 5000

    let directory: PrivateDirectory
    private(set) var hosts: [DemoHost] = []
    private(set) var children: [DemoChild] = []

    init() throws(SystemFailure) {
        directory = try PrivateDirectory(prefix: "ringswitch-demo-")
    }

    deinit { _ = clear() }

    /// The switch's control socket.
    var client: ControlClient { ControlClient(socketPath: "\(directory.path)/control.sock") }

    /// Path of a port's socket.
    func portPath(_ port: String) -> String { "\(directory.path)/\(port).sock" }

    /// Starts a switch with these ports.
    func startSwitch(ports: [String]) throws(DemoError) -> DemoChild {
        let file = "\(directory.path)/demo.toml"
        do {
            try Self.configuration(runtimeDirectory: directory.path, ports: ports)
                .write(toFile: file, atomically: false, encoding: .utf8)
        } catch {
            throw .system(what: "cannot write \(file): \(error)")
        }
        return try start(
            name: "switch", label: "switch", ["ringswitch", "run", "--config", file],
            isOwnProgram: true)
    }

    /// Starts a host at the port of its name.
    func startHost(_ name: String, address: String, isNamed: Bool) throws(DemoError) -> DemoHost {
        do throws(SystemFailure) {
            let host = try DemoHost(
                name: name, address: address, portPath: portPath(name), directory: directory.path,
                isNamed: isNamed)
            hosts.append(host)
            children.append(host.attachment)
            return host
        } catch {
            throw DemoError(error)
        }
    }

    /// Starts a program, in a host where one is given.
    func start(
        name: String, label: String, _ arguments: [String], isOwnProgram: Bool = false,
        in host: DemoHost? = nil
    ) throws(DemoError) -> DemoChild {
        do throws(SystemFailure) {
            let child = try DemoChild(
                name: name, label: label, arguments: arguments, directory: directory.path,
                isOwnProgram: isOwnProgram, host: try host?.open())
            children.append(child)
            return child
        } catch {
            throw DemoError(error)
        }
    }

    /// Ends a child now.
    func end(_ child: DemoChild) { child.process.end(graceMilliseconds: Self.graceMilliseconds) }

    /// Ends and removes everything. Harmless when called again.
    /// - Returns: what is left behind in spite of that, named for people.
    func clear() -> [String] {
        for child in children.reversed() { end(child) }
        try? FileManager.default.removeItem(atPath: directory.path)
        var leftovers: [String] = []
        if FileManager.default.fileExists(atPath: directory.path) {
            leftovers.append("directory \(directory.path)")
        }
        for name in hosts.compactMap(\.namespace)
        where FileManager.default.fileExists(atPath: "/run/netns/\(name)") {
            leftovers.append("network namespace \(name)")
        }
        return leftovers
    }

    /// The switch's configuration file.
    static func configuration(runtimeDirectory: String, ports: [String]) -> String {
        // A TOML basic string escapes as JSON does.
        let escaped = runtimeDirectory.replacing("\\", with: "\\\\")
            .replacing("\"", with: "\\\"")
        var text = "[switch]\nname = \"demo\"\nruntime_dir = \"\(escaped)\"\n"
        for port in ports {
            text += "\n[[port]]\nname = \"\(port)\"\ntype = \"unixgram\"\n"
            text += "path = \"\(port).sock\"\noffload = \"raw\"\n"
        }
        return text
    }
}
