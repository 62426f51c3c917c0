// Finds the control socket that a command means.
//
// `--socket` names it. Else the runtime directories in which a switch lives by default are looked
// through, each itself and its immediate subdirectories, for a `control.sock`. A lone file is taken
// as it is, so that its failure (stale, permission, silence) is the command's own message; among
// several, those that answer count. A name is not part of a path: the switch is asked for it.
//
// A directory in /tmp could have been made by anybody, so it counts only if it is the user's own.

import Foundation
import Glibc

/// Looks for running switches.
public struct SwitchLocator: Sendable {
    /// Name of the control socket in a runtime directory.
    public static let socketName = "control.sock"

    private let directories: [String]

    /// Makes the client of the socket at a path.
    var makeClient: @Sendable (String) -> ControlClient = { ControlClient(socketPath: $0) }

    /// - Parameter directories: runtime directories to look through, the likeliest first.
    public init(directories: [String] = SwitchLocator.standardDirectories()) {
        self.directories = directories
    }

    /// Where switches of this user, and of root, keep their state unless configured otherwise.
    public static func standardDirectories() -> [String] {
        var directories = ["/run/ringswitch"]
        let environment = ProcessInfo.processInfo.environment
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
            directories.append(runtime + "/ringswitch")
        }
        let temporary = "/tmp/ringswitch-\(getuid())"
        var status = stat()
        if lstat(temporary, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == getuid()
        {
            directories.append(temporary)
        }
        return directories
    }

    /// A client of the switch called `name`, or of the only one when `name` is `nil`.
    public func locate(name: String? = nil) throws(ControlClientError) -> ControlClient {
        let clients = socketPaths().map(makeClient)
        if clients.isEmpty {
            throw .noSwitch(lookedAt: directories.map { $0 + "/" + Self.socketName })
        }
        if clients.count == 1, name == nil { return clients[0] }

        var running: [(client: ControlClient, report: StatusReport)] = []
        var failures: [ControlClientError] = []
        for client in clients {
            do throws(ControlClientError) {
                running.append((client, try client.status()))
            } catch {
                failures.append(error)
            }
        }
        if let name {
            running = try named(name, among: running, failures)
        }
        switch running.count {
        case 1: return running[0].client
        case 0: throw Self.mostTelling(of: failures)
        default:
            throw .ambiguous(
                running.map {
                    "\($0.report.name.terminalSafe) (pid \($0.report.pid)): --socket "
                        + $0.client.socketPath.terminalSafe
                })
        }
    }

    private func named(
        _ name: String, among running: [(client: ControlClient, report: StatusReport)],
        _ failures: [ControlClientError]
    ) throws(ControlClientError) -> [(client: ControlClient, report: StatusReport)] {
        let matches = running.filter { $0.report.name == name }
        if !matches.isEmpty { return matches }
        // The switch may be the one that could not be asked.
        if running.isEmpty, !failures.isEmpty { throw Self.mostTelling(of: failures) }
        throw .unknownName(name, running: running.map(\.report.name))
    }

    /// Every existing control socket, in order of the directories.
    private func socketPaths() -> [String] {
        var paths: [String] = []
        for directory in directories {
            let below = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            let candidates = [directory] + below.sorted().map { directory + "/" + $0 }
            for candidate in candidates.map({ $0 + "/" + Self.socketName }) {
                var status = stat()
                // EACCES hides the file but not that there is one to ask about.
                guard lstat(candidate, &status) == 0 || errno == EACCES else { continue }
                if !paths.contains(candidate) { paths.append(candidate) }
            }
        }
        return paths
    }

    /// The failure that helps most: a live switch out of reach before a dead one.
    private static func mostTelling(of failures: [ControlClientError]) -> ControlClientError {
        func rank(_ failure: ControlClientError) -> Int {
            switch failure {
            case .notResponding: 0
            case .permissionDenied: 1
            case .malformedReply, .system, .declined: 2
            default: 3
            }
        }
        return failures.min { rank($0) < rank($1) } ?? .noSwitch(lookedAt: [])
    }
}
