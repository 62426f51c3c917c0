// What a switch says to the service manager that started it: the protocol of sd_notify(3), a
// datagram of lines to the socket that NOTIFY_SOCKET names. It is a dozen lines, which is less than
// a library.

internal import CShimsSystem
internal import Glibc

/// The service manager behind this process.
///
/// Thread-safe: a value; each notification has a socket of its own.
struct ServiceManager: Sendable {
    let address: sockaddr_un
    let addressLength: socklen_t
    /// Time after which a silent service is taken for dead; `nil` where nobody watches.
    let watchdog: Duration?

    /// The manager that the environment names.
    /// - Returns: `nil` where there is none, or one that cannot be talked to.
    init?(socket: String?, watchdogMicroseconds: String? = nil, watchdogPID: String? = nil) {
        guard let socket, let first = socket.utf8.first,
            first == UInt8(ascii: "/") || first == UInt8(ascii: "@")
        else { return nil }
        // An abstract name begins with a zero, which is written as '@'.
        var bytes = Array(socket.utf8)
        if first == UInt8(ascii: "@") { bytes[0] = 0 }
        var address = sockaddr_un()
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        self.address = address
        addressLength = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        // The variables are inherited: only the process that is named is meant.
        let isMeant = watchdogPID.map { Int32($0) == getpid() } ?? true
        watchdog = watchdogMicroseconds.flatMap { Int64($0) }
            .flatMap { isMeant && $0 > 0 ? .microseconds($0) : nil }
    }

    /// The manager that this process's environment names.
    static func current() -> ServiceManager? {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        return ServiceManager(
            socket: variable("NOTIFY_SOCKET"), watchdogMicroseconds: variable("WATCHDOG_USEC"),
            watchdogPID: variable("WATCHDOG_PID"))
    }

    /// Whether the end of this process is the end of a service.
    ///
    /// systemd names the process that it has started itself ($SYSTEMD_EXEC_PID, since version 248).
    /// Of another manager the socket is all that shows.
    static var startedThisProcess: Bool {
        guard let text = getenv("SYSTEMD_EXEC_PID").map({ String(cString: $0) }) else {
            return current() != nil
        }
        return Int32(text) == getpid()
    }

    /// What there is to say.
    enum State: Equatable {
        /// The switch forwards, for the first time or after a reload.
        case ready
        /// A reload begins; `ready` follows.
        case reloading
        /// The switch ends.
        case stopping
        /// Everything makes progress.
        case alive
    }

    /// Says so, with a sentence for `systemctl status`.
    ///
    /// A manager that does not read has its own trouble, and the switch goes on. A sign of life
    /// waits for nobody, as the next one follows; anything else is waited for by the manager, which
    /// may just be busy with what it was told before.
    func notify(_ state: State, status: String? = nil) {
        var lines: [String] = []
        switch state {
        case .ready: lines.append("READY=1")
        case .reloading:
            lines.append("RELOADING=1")
            var now = timespec()
            clock_gettime(CLOCK_MONOTONIC, &now)
            lines.append("MONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
        case .stopping: lines.append("STOPPING=1")
        case .alive: lines.append("WATCHDOG=1")
        }
        if let status { lines.append("STATUS=\(status)") }
        _ = send(
            lines.joined(separator: "\n"),
            patienceMilliseconds: state == .alive ? 0 : Self.patienceMilliseconds)
    }

    /// How long a message that must arrive waits for room.
    static let patienceMilliseconds: Int32 = 1000

    /// Sends a message.
    /// - Returns: 0, or an errno. EAGAIN: the manager did not read for that long.
    func send(
        _ text: String, descriptor: Int32? = nil, patienceMilliseconds: Int32 = 0
    ) -> Int32 {
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return errno }
        defer { close(socket) }
        let connected = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, addressLength)
            }
        }
        guard connected == 0 else { return errno }
        let bytes = Array(text.utf8)
        let descriptors = descriptor.map { [$0] } ?? []
        var writable = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        while true {
            let result = cshims_message_send(
                socket, bytes, bytes.count, descriptors, UInt32(descriptors.count))
            guard result == -EAGAIN, patienceMilliseconds > 0,
                poll(&writable, 1, patienceMilliseconds) > 0
            else { return -min(result, 0) }
        }
    }
}
