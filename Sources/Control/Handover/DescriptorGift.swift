// The giving side of `attach`: `ringswitch attach-fd`, and `ringswitch exec`.
//
// `exec` makes a pair of sockets, gives one end to the switch and becomes the virtual machine's
// monitor with the other. No path is involved: nobody else can attach in its place, it does not
// matter which files the monitor and the switch see, and the monitor is known from the first
// moment.

internal import CShimsSystem
internal import Glibc

/// Why a program could not be run with a port as one of its descriptors.
public struct ExecError: Error, CustomStringConvertible {
    /// What failed.
    public let description: String
    /// What the shell would exit with: 127 where there is no such program, 126 where it cannot be
    /// run.
    public let exitCode: Int32
}

/// Gives descriptors of this process to a switch.
public struct DescriptorGift: Sendable {
    /// Name of the port, and its keys where it is to be made.
    public var edit: PortEdit
    /// The switch.
    public var client: ControlClient

    /// Number that a program finds its end of the pair under, as with vmnet-run and others.
    public static let execNumber: Int32 = 3
    /// Variable of the program's environment that says the number.
    public static let execVariable = "RINGSWITCH_FD"
    /// Send buffer of the program's end in bytes as the kernel charges them: what libkrun asks for
    /// by itself on a path. The kernel grants less where net.core.wmem_max says so.
    private static let sendBuffer = 14 << 20

    /// A gift to the port of that name, which is made where it does not exist.
    public init(_ edit: PortEdit, to client: ControlClient) {
        self.edit = edit
        self.client = client
    }

    /// Attaches an open descriptor, which stays open here.
    public func attach(_ descriptor: Int32) throws(ControlClientError) -> HandoverAttachment {
        guard DescriptorKind.facts(of: descriptor) != nil else {
            throw .system("descriptor \(descriptor)", code: EBADF)
        }
        let directory = client.socketPath.split(
            separator: "/", omittingEmptySubsequences: false
        ).dropLast().joined(separator: "/")
        let path =
            (client.socketPath.contains("/") ? directory + "/" : "") + HandoverProtocol.socketName
        return try HandoverClient(path: path).request(
            "attach", edit, descriptors: [descriptor], as: HandoverAttachment.self
        ).result
    }

    /// Attaches one end of a new pair of sockets, and becomes `command` with the other as its
    /// descriptor 3.
    /// - Throws: `ControlClientError`, `ExecError`. It does not return otherwise.
    public func exec(_ command: [String]) throws -> Never {
        var pair: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &pair) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) {
                cshims_socket_create_unixgram_pair($0)
            }
        }
        guard made >= 0 else {
            throw ExecError(
                description: "cannot make a pair of sockets: \(SystemText.reason(-made))",
                exitCode: EXIT_FAILURE)
        }
        _ = cshims_socket_set_send_buffer(pair.1, Int64(Self.sendBuffer / 2))
        _ = try attach(pair.0)
        // The switch's end must not live on in the program: the switch would not notice that the
        // other side of it has gone.
        _ = cshims_descriptor_close(pair.0)
        let placed = cshims_descriptor_place(pair.1, Self.execNumber)
        guard placed >= 0 else {
            throw ExecError(
                description:
                    "cannot make descriptor \(Self.execNumber): \(SystemText.reason(-placed))",
                exitCode: EXIT_FAILURE)
        }
        setenv(Self.execVariable, "\(Self.execNumber)", 1)
        try run(command)
    }

    private func run(_ command: [String]) throws(ExecError) -> Never {
        var words = command.map { strdup($0) } + [nil]
        execvp(command[0], &words)
        let code = errno
        for word in words { free(word) }
        throw ExecError(
            description: "cannot run \(command[0]): \(SystemText.reason(code))",
            exitCode: code == ENOENT ? 127 : 126)
    }
}
