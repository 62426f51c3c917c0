import CShimsSystem
import Foundation
import Glibc

/// One of the demo's two hosts: a namespace that `ringswitch attach` keeps joined to a port.
///
/// Root uses named namespaces, which can be looked at with `ip netns` meanwhile; everybody else
/// namespaces that belong to the attaching process.
final class DemoHost {
    /// How a child gets into the host: descriptors for setns(2), closed with this object.
    final class Entrance {
        /// -1: the host belongs to no other user namespace than ours.
        let userNamespace: Int32
        let networkNamespace: Int32

        init(userPath: String?, networkPath: String) throws(SystemFailure) {
            userNamespace =
                try userPath.map { path throws(SystemFailure) in
                    try Self.open(path)
                } ?? -1
            networkNamespace = try Self.open(networkPath)
        }

        deinit {
            if userNamespace >= 0 { _ = cshims_descriptor_close(userNamespace) }
            _ = cshims_descriptor_close(networkNamespace)
        }

        private static func open(_ path: String) throws(SystemFailure) -> Int32 {
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                throw SystemFailure(what: "cannot open \(path)", code: errno)
            }
            return descriptor
        }
    }

    /// "a" or "b": also the name of its port.
    let name: String
    /// IPv4 address, without prefix length.
    let address: String
    /// Name of its namespace; `nil` where it belongs to the attaching process.
    let namespace: String?
    /// The process that plays the host's network card.
    let attachment: DemoChild

    /// Starts to attach.
    init(
        name: String, address: String, portPath: String, directory: String, isNamed: Bool
    ) throws(SystemFailure) {
        self.name = name
        self.address = address
        namespace = isNamed ? "rs-demo-\(getpid())-\(name)" : nil
        var arguments = [
            "ringswitch", "attach", portPath, "--address", "\(address)/24", "--offload", "--json",
        ]
        if let namespace { arguments += ["--netns", namespace] }
        attachment = try DemoChild(
            name: "host \(name)", label: "host-\(name)", arguments: arguments,
            directory: directory, isOwnProgram: true)
    }

    /// Opens the way in. The host must have joined its port: before that its namespace may not
    /// exist.
    func open() throws(SystemFailure) -> Entrance {
        if let namespace {
            return try Entrance(userPath: nil, networkPath: "/run/netns/\(namespace)")
        }
        let directory = "/proc/\(attachment.process.pid)/ns"
        // setns into the user namespace that one is in already is an error (EINVAL).
        let user =
            Self.identity("\(directory)/user") == Self.identity("/proc/self/ns/user")
            ? nil : "\(directory)/user"
        return try Entrance(userPath: user, networkPath: "\(directory)/net")
    }

    /// Where people find the host.
    var place: String {
        namespace.map { "namespace \($0)" } ?? "namespace of pid \(attachment.process.pid)"
    }

    private static func identity(_ path: String) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    }
}
