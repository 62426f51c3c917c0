// Several peers of one socket.
//
// Two clients may connect to a shared path before the first of them has said a word and another
// socket could take its place. Nothing moves a client to another socket, and if this one were
// connected to the first client, the second would be refused for ever (EPERM), which libkrun does
// not survive. So the socket stays unconnected, and this relay stands between: each client gets a
// pair of sockets, whose other end is a port as any other. What the socket receives goes to the
// pair of its sender, what a pair delivers goes to the address of its client.
//
// That costs two copies and a thread, and the clients of one relay share one send buffer: one that
// stops reading holds up the others of this relay, though nobody else. It is for the few clients
// that meet in one instant, and lasts until they have left.
//
// No frame is lost without a name here. Towards the client a frame that does not fit waits, its
// pair fills up, and its port queues and counts as ever. From the client a frame that the pair does
// not take is counted, and Control adds it to the port's books.
internal import CShimsSystem
internal import Glibc
internal import Synchronization

/// Carries frames between an unconnected socket and the pairs of its clients, on an own thread.
///
/// Thread safety: every member may be called from any thread.
final class UnixgramRelay: Sendable {
    /// What a client's port has to know.
    struct Losses: Sendable {
        /// Frames of the client that its pair did not take.
        var frames = 0
        /// Their bytes.
        var bytes = 0
        /// "VFKT" that came.
        var greetings = 0
        /// The client's socket has refused a frame: it is gone.
        var isGone = false
    }

    private struct Client {
        let address: UnixgramAddress
        /// This side of the pair.
        let end: PassedDescriptor
        var losses = Losses()
        /// A frame that the client did not take yet.
        var waiting: [UInt8]?
    }

    private struct State {
        var clients: [Client] = []
        /// Datagrams of sources that are no clients, and their bytes.
        var strangers = Losses()
        var isEnding = false
        /// It carries nothing.
        var isSuspended = false
    }

    private let onStranger: @Sendable () -> Void
    private let onEnd: @Sendable () -> Void
    private let socket: Int32
    private let state = Mutex(State())
    private let wake: Int32
    /// Datagrams of one socket before the next one's turn.
    private static let batch = 64
    private static let frameMax = 65_600
    /// Pause before a frame that a client did not take is offered again.
    private static let retryMilliseconds: Int32 = 1
    private static let pairBuffer: Int64 = 2 << 20

    /// Makes a relay that carries nothing before `resume`: frames of clients that it does not know
    /// yet would be those of strangers.
    /// - Parameters:
    ///   - socket: unconnected; it stays open until `onEnd` is called.
    ///   - onStranger: called on the relay's thread when a source is no client.
    ///   - onEnd: called there as the last thing.
    init(
        _ socket: Int32, onStranger: @escaping @Sendable () -> Void,
        onEnd: @escaping @Sendable () -> Void
    ) {
        self.socket = socket
        self.onStranger = onStranger
        self.onEnd = onEnd
        state.withLock { $0.isSuspended = true }
        wake = cshims_eventfd_create()
        _ = cshims_socket_set_pass_pidfd(socket, false)
        _ = cshims_socket_set_pass_credentials(socket, false)
        _ = cshims_socket_set_send_buffer(socket, Self.pairBuffer)
        Thread.detach(self)
    }

    deinit { _ = cshims_descriptor_close(wake) }

    /// Who its clients are.
    var addresses: [UnixgramAddress] { state.withLock { $0.clients.map(\.address) } }

    /// What came from sources that are no clients since the last time.
    func takeStrangers() -> Losses {
        state.withLock { state in
            defer { state.strangers = Losses() }
            return state.strangers
        }
    }

    /// Adds a client.
    /// - Returns: the port's end of its pair, the caller's to close.
    func add(_ address: UnixgramAddress) throws(PortError) -> Int32 {
        var pair: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &pair) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) {
                cshims_socket_create_unixgram_pair($0)
            }
        }
        guard made >= 0 else {
            throw .system(operation: "make a pair for", subject: "\(address)", code: -made)
        }
        for end in [pair.0, pair.1] {
            _ = cshims_descriptor_adopt(end)
            _ = cshims_socket_set_send_buffer(end, Self.pairBuffer)
        }
        add(address, PassedDescriptor(adopting: pair.1))
        return pair.0
    }

    /// Adds a client whose pair there is already.
    /// - Parameters:
    ///   - end: the relay's end of the pair.
    ///   - waiting: a frame that the client did not take yet.
    func add(_ address: UnixgramAddress, _ end: PassedDescriptor, waiting: [UInt8]? = nil) {
        let client = Client(address: address, end: end, waiting: waiting)
        state.withLock { $0.clients.append(client) }
        _ = cshims_eventfd_signal(wake)
    }

    /// What a successor needs of a client, which nothing changes while the relay is suspended.
    func pair(of address: UnixgramAddress) -> (end: PassedDescriptor, waiting: [UInt8]?)? {
        state.withLock { state in
            state.clients.first { $0.address == address }.map { ($0.end, $0.waiting) }
        }
    }

    /// Carries nothing from the return of this call until `resume`.
    func suspend() { state.withLock { $0.isSuspended = true } }

    /// Goes on after `suspend`.
    func resume() {
        state.withLock { $0.isSuspended = false }
        _ = cshims_eventfd_signal(wake)
    }

    /// Lets a client go.
    func remove(_ address: UnixgramAddress) {
        state.withLock { state in
            guard let position = state.clients.firstIndex(where: { $0.address == address }) else {
                return
            }
            state.clients.remove(at: position)
        }
        _ = cshims_eventfd_signal(wake)
    }

    /// Carries no more; `onEnd` follows.
    func end() {
        state.withLock { $0.isEnding = true }
        _ = cshims_eventfd_signal(wake)
    }

    /// What was lost of a client since the last time.
    func takeLosses(_ address: UnixgramAddress) -> Losses {
        state.withLock { state in
            guard let position = state.clients.firstIndex(where: { $0.address == address }) else {
                return Losses(isGone: true)
            }
            let losses = state.clients[position].losses
            state.clients[position].losses = Losses(isGone: losses.isGone)
            return losses
        }
    }

    // MARK: The thread

    fileprivate func run() {
        var buffer = [UInt8](repeating: 0, count: Self.frameMax)
        while true {
            var isWaiting = false
            let watched: [Int32]? = state.withLock { state in
                if state.isEnding { return nil }
                if state.isSuspended { return [] }
                isWaiting = state.clients.contains { $0.waiting != nil }
                return [socket] + state.clients.map { $0.waiting == nil ? $0.end.number : -1 }
            }
            guard let watched else { return }
            let ready = Waiting.forReadable(
                [wake] + watched, milliseconds: isWaiting ? Self.retryMilliseconds : -1)
            if ready[0] { _ = cshims_eventfd_drain(wake) }
            guard !watched.isEmpty else { continue }
            let hasStrangers = state.withLock { state in
                guard !state.isSuspended else { return false }
                let before = state.strangers.frames + state.strangers.greetings
                if ready[1] { receive(&buffer, &state) }
                for position in state.clients.indices { deliver(&buffer, &state.clients[position]) }
                // Once, until `takeStrangers` looks.
                return before == 0 && state.strangers.frames + state.strangers.greetings > 0
            }
            if hasStrangers { onStranger() }
        }
    }

    fileprivate func ended() { onEnd() }

    /// Passes what the socket holds to the pairs of its senders.
    private func receive(_ buffer: inout [UInt8], _ state: inout State) {
        for _ in 0..<Self.batch {
            var datagram = cshims_datagram()
            let count = Int(
                cshims_socket_receive(socket, &buffer, buffer.count, &datagram))
            guard count >= 0 else { return }
            if datagram.pidfd >= 0 { _ = cshims_descriptor_close(datagram.pidfd) }
            let source = UnixgramAddress(datagram.source)
            let isGreeting = count == 4 && buffer.starts(with: Array("VFKT".utf8))
            guard let position = state.clients.firstIndex(where: { $0.address == source }) else {
                state.strangers.greetings += isGreeting ? 1 : 0
                state.strangers.frames += isGreeting ? 0 : 1
                state.strangers.bytes += isGreeting ? 0 : count
                continue
            }
            if isGreeting {
                state.clients[position].losses.greetings += 1
            } else if count == 0
                || Self.send(buffer, count, state.clients[position].end.number) != 0
            {
                state.clients[position].losses.frames += 1
                state.clients[position].losses.bytes += count
            }
        }
    }

    /// Passes what a pair holds to its client, as long as that takes it.
    private func deliver(_ buffer: inout [UInt8], _ client: inout Client) {
        if let frame = client.waiting {
            guard offer(frame, frame.count, &client) else { return }
            client.waiting = nil
        }
        for _ in 0..<Self.batch {
            var datagram = cshims_datagram()
            let count = Int(
                cshims_socket_receive(client.end.number, &buffer, buffer.count, &datagram))
            guard count > 0 else { return }
            guard offer(buffer, count, &client) else {
                client.waiting = Array(buffer[..<count])
                return
            }
        }
    }

    /// Sends a frame to a client; false: it has to wait.
    private func offer(_ frame: [UInt8], _ count: Int, _ client: inout Client) -> Bool {
        var address = client.address.systemAddress
        let code = -cshims_socket_send_to(socket, frame, count, &address)
        if code == EAGAIN || code == ENOBUFS { return false }
        if code == ECONNREFUSED || code == ENOENT || code == EPERM { client.losses.isGone = true }
        return true
    }

    private static func send(_ bytes: [UInt8], _ count: Int, _ end: Int32) -> Int32 {
        bytes.withUnsafeBytes { bytes in
            var frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(count)))
            return -min(0, cshims_socket_send_batch(end, &frame, 1))
        }
    }
}

private enum Thread {
    /// Runs a relay on a thread that ends with it.
    static func detach(_ relay: UnixgramRelay) {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(relay).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { argument in
                let relay = Unmanaged<UnixgramRelay>.fromOpaque(argument!).takeRetainedValue()
                _ = cshims_thread_set_name("rs-relay")
                relay.run()
                relay.ended()
                return nil
            }, argument)
        precondition(code == 0, "a thread cannot be made: errno \(code)")
        pthread_detach(thread)
    }
}
