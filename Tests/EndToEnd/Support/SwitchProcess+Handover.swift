// Machines that reach their port by a descriptor instead of a path.

import Control
import Dispatch
import Glibc

extension SwitchProcess {
    /// Gives a descriptor of this process to the switch.
    @discardableResult
    func give(
        _ descriptor: Int32, to port: String, _ keys: [String: String] = [:]
    ) async throws -> HandoverAttachment {
        let client = ControlClient(socketPath: directory.file("control.sock"))
        let gift = DescriptorGift(PortEdit(name: port, keys: keys), to: client)
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try gift.attach(descriptor) })
            }
        }
    }

    /// A peer in this process whose port has the other end of its pair of sockets.
    func pairedPeer(
        _ port: String, _ number: Int, _ keys: [String: String] = [:]
    ) async throws -> Peer {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw Peer.Refusal(call: "socketpair", code: errno)
        }
        let peer = try Peer(mac: Self.mac(number), end: ends[1])
        defer { close(ends[0]) }
        try await give(ends[0], to: port, keys)
        return peer
    }
}
