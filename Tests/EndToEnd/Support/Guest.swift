import Foundation
import Glibc

/// A virtual machine on the LAN: QEMU with the guest that `scripts/guest-image` builds.
///
/// It is emulated (`-accel tcg`): /dev/kvm may open and still hang where the host itself is a
/// virtual machine. `scripts/guest-init` says what the guest prints and which jobs it takes.
final class Guest: Sendable {
    /// How QEMU reaches the switch; each is a different habit of a client.
    enum Network: Sendable {
        /// Datagrams from an own path to a port's path, without ever connecting (`-netdev dgram`).
        case datagram(from: String, to: String)
        /// A stream to a port's path (`-netdev stream`), connected again when it ends where QEMU
        /// can.
        case stream(to: String)
        /// A stream on a path of QEMU's own, to which a port connects.
        case listening(String)
        /// Datagrams on one end of a pair of sockets, by `ringswitch exec`, to the port of that
        /// name of the switch behind a control socket.
        case descriptor(port: String, control: String)

        fileprivate var option: String {
            switch self {
            case .datagram(let own, let port):
                "dgram,id=lan,local.type=unix,local.path=\(own),"
                    + "remote.type=unix,remote.path=\(port)"
            case .stream(let port):
                "stream,id=lan,server=off,addr.type=unix,addr.path=\(port)"
                    + (Guest.qemuVersion >= (9, 2)
                        ? ",reconnect-ms=200" : Guest.connectsAgain ? ",reconnect=1" : "")
            case .listening(let own):
                "stream,id=lan,server=on,addr.type=unix,addr.path=\(own)"
            case .descriptor: "dgram,id=lan,local.type=fd,local.str=3"
            }
        }

        /// What QEMU is started by.
        fileprivate var prefix: [String] {
            switch self {
            case .datagram, .stream, .listening: []
            case .descriptor(let port, let control):
                [
                    SwitchProcess.executable, "exec", "--socket", control, "--port", port, "--",
                ]
            }
        }
    }

    /// A file that reached the other guest unharmed.
    struct Transfer: Sendable {
        let byteCount: Int
        let duration: Duration
        /// Payload rate in Mbit/s.
        var megabitsPerSecond: Double { Double(byteCount) * 8e-6 / (duration / .seconds(1)) }
    }

    /// Whether QEMU's streams are connected again when they end.
    static let connectsAgain = qemuVersion >= (8, 0)

    private static let qemuVersion: (Int, Int) = {
        guard let pipe = popen("qemu-system-x86_64 --version", "r") else { return (0, 0) }
        defer { pclose(pipe) }
        var line = [CChar](repeating: 0, count: 200)
        guard fgets(&line, 200, pipe) != nil else { return (0, 0) }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
        let numbers = text.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
    }()

    private static let image = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().appendingPathComponent("../../../.build/guest").standardized

    /// Whether guests can be booted here.
    static let isAvailable =
        ChildProcess.isInstalled("qemu-system-x86_64")
        && FileManager.default.isReadableFile(
            atPath: image.appendingPathComponent("initramfs.gz").path)

    /// Comment of a test that needs guests and has none.
    static let requirement = "guests need QEMU and .build/guest (make guest)"

    /// QEMU itself.
    let machine: ChildProcess
    /// The guest's address without the length of its network.
    let address: String

    /// Starts to boot a guest; `isUp` waits for it.
    /// - Parameters:
    ///   - number: 1...254, the last part of the guest's MAC and IPv4 addresses.
    ///   - prefix: the other parts of its IPv4 address.
    init(number: Int, prefix: String = "192.168.127", network: Network) throws {
        address = "\(prefix).\(number)"
        let mac = "52:54:00:00:00:" + String(format: "%02x", number)
        machine = try ChildProcess(
            network.prefix + [
                "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-m", "256",
                "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-kernel", Self.image.appendingPathComponent("vmlinuz").path,
                "-initrd", Self.image.appendingPathComponent("initramfs.gz").path,
                "-append", "console=ttyS0 quiet panic=-1 ringswitch.address=\(address)/24",
                "-netdev", network.option,
                "-device", "virtio-net-pci,netdev=lan,mac=\(mac)",
            ])
    }

    /// Waits until the guest has its address and takes jobs.
    func isUp(within limit: Duration = .seconds(180)) async throws {
        try await machine.line(containing: "RINGSWITCH-GUEST ready", within: limit)
    }

    /// Pings `host` until it answers.
    func ping(_ host: String, within limit: Duration = .seconds(120)) async throws {
        machine.send(line: "ping \(host)")
        let answer = try await machine.line(containing: "RINGSWITCH-GUEST ping", within: limit)
        guard answer.hasSuffix("ping ok \(host)") else { throw machine.failure(answer) }
    }

    /// Sends a file of random bytes to the guest at `host` by TCP; both compare its checksum.
    func transfer(
        _ byteCount: Int, to host: String, within limit: Duration = .seconds(300)
    ) async throws -> Transfer {
        machine.send(line: "send \(host) \(byteCount)")
        let answer = try await machine.line(containing: "RINGSWITCH-GUEST transfer", within: limit)
        let words = answer.split(separator: " ")
        guard words.count == 6, words[2] == "ok", words[3] == "\(byteCount)",
            let milliseconds = Int(words[5])
        else { throw machine.failure(answer) }
        return Transfer(byteCount: byteCount, duration: .milliseconds(milliseconds))
    }

    /// How many packets with a wrong checksum the guest has received.
    func checksumErrors() async throws -> Int {
        machine.send(line: "checksums")
        let answer = try await machine.line(
            containing: "RINGSWITCH-GUEST checksums")
        guard let count = answer.split(separator: " ").last.flatMap({ Int($0) }) else {
            throw machine.failure(answer)
        }
        return count
    }

    /// Ends the guest as a crash of its host would: no goodbye to anybody.
    func kill() async throws {
        machine.kill()
        guard await machine.ending() != nil else {
            throw machine.failure("outlives SIGKILL")
        }
    }
}
