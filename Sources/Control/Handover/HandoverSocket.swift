internal import CShimsSystem
internal import Foundation
internal import Glibc

/// One end of a connection of `handover.sock`, whoever opened it.
///
/// Thread safety: calls may come from any thread, one at a time. No call blocks.
final class HandoverSocket: Sendable {
    /// The socket, for poll(2) or a DispatchSource; owned by this object.
    let descriptor: Int32

    /// Takes over a connected socket.
    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    deinit { _ = cshims_descriptor_close(descriptor) }

    /// What came of trying to receive.
    enum Received {
        case message(HandoverMessage)
        /// Nothing is waiting.
        case nothing
        /// The other side has gone, or the connection is broken.
        case end
    }

    /// The process at the other end; `nil` where the kernel does not tell.
    var peer: HandoverPeer? {
        var credentials = cshims_credentials()
        guard cshims_message_socket_peer(descriptor, &credentials) >= 0 else { return nil }
        return HandoverPeer(pid: credentials.pid, uid: credentials.uid)
    }

    /// Receives one message; what is longer than it may be is cut, and says so.
    func receive(descriptorsMax: Int) -> Received {
        var received = cshims_message()
        var result: Int64 = 0
        var json = Data(count: HandoverProtocol.lengthMax)
        json.withUnsafeMutableBytes {
            result = cshims_message_receive(
                descriptor, $0.baseAddress, $0.count, UInt32(descriptorsMax), &received)
        }
        guard result >= 0 else { return result == -Int64(EAGAIN) ? .nothing : .end }
        // Taken over before anything else is looked at: what nobody wants is closed.
        let descriptors = withUnsafeBytes(of: received.descriptors) { bytes in
            bytes.bindMemory(to: Int32.self).prefix(Int(received.count)).map {
                PassedDescriptor(adopting: $0)
            }
        }
        // SOCK_SEQPACKET ends with a message of no bytes; nobody else has a reason to send one.
        guard result > 0 else { return .end }
        var message = HandoverMessage(json: json.prefix(Int(result)), descriptors: descriptors)
        message.isTooLong = received.length > result
        message.isCut = received.is_cut
        return .message(message)
    }

    /// Sends one message; returns 0 or an errno. EAGAIN: the other side does not read.
    func send(_ message: HandoverMessage) -> Int32 {
        // The message keeps its descriptors open until they are sent.
        withExtendedLifetime(message) {
            send(message.json, descriptors: message.descriptors.map(\.number))
        }
    }

    /// The same with descriptors that stay the caller's.
    func send(_ json: Data, descriptors: [Int32]) -> Int32 {
        guard json.count <= HandoverProtocol.lengthMax else { return EMSGSIZE }
        let result = json.withUnsafeBytes { bytes in
            cshims_message_send(
                descriptor, bytes.baseAddress, bytes.count, descriptors, UInt32(descriptors.count))
        }
        return -min(result, 0)
    }

    /// Ends the connection for both sides; whoever waits for a message finds its end.
    func shutDown() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }
}
