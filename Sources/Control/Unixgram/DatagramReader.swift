internal import CShimsSystem
internal import Glibc

/// One datagram as the handshake sees it: its length and its sender.
struct Datagram {
    /// Bytes that were sent; the buffer may hold fewer.
    let length: Int
    /// Who sent it.
    let peer: UnixgramPeer

    /// Takes over the pidfd, if one came, so that it is closed wherever the datagram ends.
    init(_ received: cshims_datagram, passesProcesses: Bool) {
        length = Int(received.length)
        let pid = received.has_credentials && received.pid > 0 ? received.pid : nil
        let process = Self.process(received, pid, passesProcesses)
        // The number was the sender's if the sender still lives after its name was read.
        let command = pid.flatMap(SystemText.command)
        peer = UnixgramPeer(
            address: UnixgramAddress(received.source), pid: pid,
            uid: received.has_credentials ? received.uid : nil,
            command: process?.hasEnded == true ? nil : command, process: process)
    }

    private static func process(
        _ received: cshims_datagram, _ pid: Int32?, _ passesProcesses: Bool
    ) -> ProcessHandle? {
        if received.pidfd >= 0 { return ProcessHandle(adopting: received.pidfd) }
        // Before Linux 6.5 the number is all there is; it may have been reused by now, which a
        // probe of the socket finds out: the handle is a hint only.
        guard !passesProcesses, let pid else { return nil }
        let descriptor = cshims_pidfd_open(pid)
        return descriptor >= 0 ? ProcessHandle(adopting: descriptor) : nil
    }
}

/// A buffer for one datagram after the other.
struct DatagramReader {
    private var buffer: [UInt8]

    /// Keeps as much of a datagram as the rules allow a frame; longer ones are cut, and their
    /// length still told.
    init(_ rules: HandshakeRules) {
        let capacity = max(rules.frameLengthMax, UnixgramListener.headerLength)
        buffer = [UInt8](repeating: 0, count: capacity)
    }

    /// Receives one datagram; the shim's result.
    mutating func receive(_ socket: Int32, _ datagram: inout cshims_datagram) -> Int64 {
        buffer.withUnsafeMutableBytes {
            cshims_socket_receive(socket, $0.baseAddress, $0.count, &datagram)
        }
    }

    /// Whether the last datagram starts with these bytes; it must be at least as long.
    func starts(with bytes: [UInt8]) -> Bool { buffer.starts(with: bytes) }

    /// The first `count` bytes of the last datagram.
    func bytes(_ count: Int) -> [UInt8] { Array(buffer[..<count]) }
}
