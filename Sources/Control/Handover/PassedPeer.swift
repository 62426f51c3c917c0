// Who is at the other end of a passed descriptor, and whether it still is.
//
// A pair of datagram sockets has no names, and its ends tell nothing of each other's death. What
// there is: the kernel notes the process that made the pair (SO_PEERCRED), and gives a pidfd of it
// (SO_PEERPIDFD, Linux 6.5). With `ringswitch exec` that process becomes the virtual machine, so
// its end is worth a look. It is a hint and no more: a launcher may pass the other end on and
// leave. The look itself asks the kernel's socket table (sock_diag) whether the other end still
// exists. The table of a network namespace has the sockets that were made there; where the pair was
// made in another one nothing can be said; the next frame for the peer, which is refused, tells.
//
// A device has nobody at its other end but the kernel: it is there until somebody deletes it.

internal import CShimsSystem
internal import Glibc

/// The other end of a passed descriptor.
struct PassedPeer: Sendable {
    /// Process that made a pair of sockets; `nil` where the kernel does not tell.
    let pid: Int32?
    /// User of that process, else of the one that passed the descriptor.
    let uid: UInt32?
    /// Tells of its end.
    let process: ProcessHandle?
    /// Name of a TAP device; `nil` for a socket.
    let device: String?

    /// - Parameters:
    ///   - facts: what the descriptor is.
    ///   - sender: the process that passed it; `nil` for an inherited one.
    init(_ descriptor: Int32, _ facts: cshims_descriptor_facts, from sender: HandoverPeer?) {
        if facts.is_tun {
            (pid, process) = (nil, nil)
            uid = sender?.uid
            device = facts.deviceName
            return
        }
        var maker = cshims_credentials()
        let isKnown = cshims_message_socket_peer(descriptor, &maker) >= 0 && maker.pid > 0
        pid = isKnown ? maker.pid : nil
        uid = isKnown ? maker.uid : sender?.uid
        device = nil
        process = isKnown ? Self.handle(of: maker.pid, descriptor) : nil
    }

    /// Name of its program, made printable: a launcher becomes another program after it has passed
    /// the descriptor.
    var command: String? {
        guard let pid, let process, let name = SystemText.command(of: pid) else { return nil }
        // The number was the maker's if it still lives after its name was read.
        return process.hasEnded ? nil : name
    }

    private static func handle(of pid: Int32, _ descriptor: Int32) -> ProcessHandle? {
        var pidfd = cshims_socket_peer_pidfd(descriptor)
        // Before Linux 6.5 the number is all there is; it may have been reused by now.
        if pidfd == -ENOPROTOOPT { pidfd = cshims_pidfd_open(pid) }
        return pidfd >= 0 ? ProcessHandle(adopting: pidfd) : nil
    }

    /// "qemu-system-x86_64 (pid 12, uid 0)", as far as known.
    var summary: String {
        if let device { return "the device \(device.printable)" }
        let facts = [pid.map { "pid \($0)" }, uid.map { "uid \($0)" }, "by descriptor"]
        return "\(command ?? "a process") (\(facts.compactMap(\.self).joined(separator: ", ")))"
    }

    /// The peer as reports have it.
    var status: PeerStatus {
        PeerStatus(pid: pid, uid: uid, command: command, address: device ?? "(descriptor)")
    }

    /// Finds out whether the other end still exists. Sends nothing and does not block.
    func probe(_ descriptor: Int32) -> Liveness {
        if device != nil {
            let result = cshims_tap_check(descriptor)
            return result >= 0 ? .alive : .dead(reason: SystemText.reason(-result))
        }
        // Whoever passed the socket may have kept a copy of it.
        if cshims_socket_is_shut_down(descriptor) {
            return .dead(reason: "its socket has been shut down")
        }
        var diagnosis = cshims_unix_diagnosis()
        let result = cshims_socket_diagnose(descriptor, &diagnosis)
        guard result >= 0 else { return .unknown(reason: SystemText.reason(-result)) }
        let isThere = diagnosis.has_peer && diagnosis.peer_inode != 0
        return isThere ? .alive : .dead(reason: "its socket is closed")
    }
}
