internal import CShimsSystem
internal import Glibc

/// One connection of a socket that has connections (SOCK_STREAM, SOCK_SEQPACKET), and who is at its
/// other end.
///
/// Thread safety: none; it belongs to the control actor. The data plane uses the descriptor from
/// attachment to retirement.
final class StreamConnection {
    /// The socket; owned by this object until `close`.
    let descriptor: Int32
    /// Process that made the other end; nil where it lives in a PID namespace that is not visible
    /// here.
    let pid: Int32?
    /// User of that process.
    let uid: UInt32?
    /// Name of its program, made printable.
    let command: String?
    private var isClosed = false

    init(adopting descriptor: Int32) {
        self.descriptor = descriptor
        var (pid, uid): (Int32, UInt32) = (0, 0)
        let isKnown = cshims_socket_peer_credentials(descriptor, &pid, &uid) >= 0
        self.pid = isKnown && pid > 0 ? pid : nil
        self.uid = isKnown && uid != .max ? uid : nil
        command = self.pid.flatMap(SystemText.command(of:))
    }

    deinit { close() }

    /// "qemu-system-x86_64 (pid 12, uid 0)", as far as known.
    var summary: String {
        let facts = [pid.map { "pid \($0)" }, uid.map { "uid \($0)" }].compactMap(\.self)
        let name = command ?? "a process"
        return facts.isEmpty ? name : "\(name) (\(facts.joined(separator: ", ")))"
    }

    var status: PeerStatus { PeerStatus(pid: pid, uid: uid, command: command) }

    /// Asks the kernel for a send buffer of `bytes`, as it charges them; returns what it gives.
    func setSendBuffer(_ bytes: Int) throws(PortError) -> Int {
        // SO_SNDBUF doubles its value (socket(7)).
        let effective = cshims_socket_set_send_buffer(descriptor, Int64((bytes + 1) / 2))
        guard effective >= 0 else {
            throw .system(
                operation: "set the send buffer of", subject: summary, code: Int32(-effective))
        }
        return Int(effective)
    }

    /// Closes the socket, which the peer sees at once.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        _ = cshims_descriptor_close(descriptor)
    }
}
