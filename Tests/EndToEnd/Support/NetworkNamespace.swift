import Foundation
import Glibc

/// A named network namespace as an isolated host, removed with the last reference.
final class NetworkNamespace: Sendable {
    /// Whether namespaces can be made here: it takes root, iproute2 and a kernel that allows it.
    static let isAvailable: Bool = {
        geteuid() == 0 && (try? NetworkNamespace("probe")) != nil
    }()

    /// Comment of a test that needs namespaces and has none.
    static let requirement = "network namespaces need root and iproute2"

    /// The name that `ip netns` knows it by.
    let name: String

    /// Makes a namespace with its loopback device up; `role` is for the reader of `ip netns`.
    init(_ role: String) throws {
        name = "ringswitch-test-\(getpid())-\(role)-\(UInt16.random(in: .min ... .max))"
        Guardian.shared.hold(.networkNamespace(name))
        try Self.ip(["netns", "add", name])
        try Self.ip(["-n", name, "link", "set", "lo", "up"])
    }

    deinit {
        try? Self.ip(["netns", "del", name])
        Guardian.shared.release(.networkNamespace(name))
    }

    /// `command` as it is run inside the namespace.
    func inside(_ command: [String]) -> [String] {
        ["ip", "netns", "exec", name] + command
    }

    /// Runs ip(8), which must succeed.
    static func ip(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip"] + arguments
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ChildProcess.Failure(
                description: "ip \(arguments.joined(separator: " ")): "
                    + String(decoding: text, as: UTF8.self))
        }
    }
}
