// What vpnkit and hyperkit say before the first frame. The client speaks first:
//
//     client   49 bytes   "VMN3T", version (u32 LE), commit (40 bytes)
//     switch   49 bytes   the same: any version will do
//     client   41 bytes   command (1: Ethernet), UUID of the machine as text (36 bytes), 4 bytes
//     switch  258 bytes   1, MTU (u16 LE), longest frame (u16 LE), MAC address (6 bytes), zeros
//
// Source: gvisor-tap-vsock, pkg/tap/protocols.go and pkg/tap/switch.go; vpnkit, docs/ethernet.md.

internal import CShimsSystem
internal import Glibc
internal import SwitchCore

/// The handshake of one connection, as far as it has come.
struct VpnkitHandshake {
    enum Progress: Equatable {
        case waiting
        /// The client has its answer; frames follow.
        case done
        /// The client says something else, or went away.
        case failed(String)
    }

    static let greetingLength = 49
    static let commandLength = 41
    static let replyLength = 258
    private static let magic = Array("VMN3T".utf8)

    private let portName: String
    private let maxFrame: Int
    private var received: [UInt8] = []

    init(portName: String, maxFrame: Int) {
        self.portName = portName
        self.maxFrame = maxFrame
    }

    /// Reads what has come, and answers. Never reads beyond the handshake.
    mutating func advance(_ descriptor: Int32) -> Progress {
        while true {
            let target = Self.greetingLength + (isGreeted ? Self.commandLength : 0)
            var buffer = [UInt8](repeating: 0, count: target - received.count)
            let count = buffer.withUnsafeMutableBytes { bytes in
                cshims_stream_receive(
                    descriptor,
                    cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)),
                    cshims_slice())
            }
            if count == -Int(EAGAIN) || count == -Int(EINTR) { return .waiting }
            guard count > 0 else {
                return .failed(
                    count == 0 ? "it closed the connection" : SystemText.reason(Int32(-count)))
            }
            received += buffer[..<count]
            guard received.count == target else { continue }
            if let end = answer(descriptor) { return end }
        }
    }

    private var isGreeted: Bool { received.count >= Self.greetingLength }

    /// Answers what is complete; nil while more is to come.
    private func answer(_ descriptor: Int32) -> Progress? {
        if received.count == Self.greetingLength {
            guard received.starts(with: Self.magic) else {
                return .failed("it does not greet as vpnkit does")
            }
            return send(received, descriptor) ? nil : .failed("it takes no answer")
        }
        guard received[Self.greetingLength] == 1 else {
            return .failed("it asks for something else than Ethernet")
        }
        return send(reply, descriptor) ? .done : .failed("it takes no answer")
    }

    private func send(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes {
            var piece = cshims_slice(address: $0.baseAddress, length: UInt64($0.count))
            return cshims_stream_send(descriptor, &piece, 1) == bytes.count
        }
    }

    private var uuid: ArraySlice<UInt8> {
        received[(Self.greetingLength + 1)..<(Self.greetingLength + 37)]
    }

    private var reply: [UInt8] {
        let mtu = maxFrame - FrameHeader.lengthMin - FrameHeader.tagLength
        var reply: [UInt8] = [1]
        for number in [mtu, mtu + FrameHeader.lengthMin] {
            reply += [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
        }
        reply += Self.address(portName: portName, uuid: Array(uuid))
        return reply + Array(repeating: 0, count: Self.replyLength - reply.count)
    }

    /// An address that is the same whenever this machine comes to this port, and hardly that of
    /// another: locally administered, out of a hash (FNV-1a) of both.
    static func address(portName: String, uuid: [UInt8]) -> [UInt8] {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in Array(portName.utf8) + [0] + uuid {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        var address = (0..<6).map { UInt8(truncatingIfNeeded: hash >> UInt64(8 * $0)) }
        address[0] = address[0] & 0xFC | 0x02
        return address
    }
}
