// A unixgram port that connects: to another switch, or to whatever else listens for datagrams.
//
//     closed --open--> dialling --connected--> attached
//                         ^                      |
//                         `----- retired ---- leaving <-- peer gone
//
// The socket is made anew for each connection. It is connected first and bound then: so nobody but
// the peer can ever send to it. The greeting lets the peer know at once where its answers go.
//
// Datagrams have no end. A failed send tells of one; so does a look at the peer's path, each time
// that the port is tended: nobody owns it any more, or another socket does.

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import Glibc
internal import SwitchCore

/// A `unixgram` port with `connect`.
@ControlActor
final class UnixgramUplink: PortOpenedAnew {
    private struct Link {
        let descriptor: Int32
        /// Our own file, and the peer's as it was when we connected.
        let file: FileIdentity
        let peerFile: FileIdentity?
    }

    private enum Stage {
        case closed, dialling
        case attached(Link, generation: UInt32)
        case leaving(Link)
    }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private var settings: PortConfiguration.Unixgram
    private let peerPath: String
    private unowned let host: any PortHost
    private var stage = Stage.closed { didSet { since = Date() } }
    private var since = Date()
    private var retry: Timer?
    private var retryMilliseconds = UnixgramUplink.retryLeast
    private var lastError: String?
    private var effectiveSendBuffer: Int?
    private var isClosing = false
    private let retired = Gate()
    private let closed = Gate()

    private static let retryLeast = 100
    private static let retryMost = 5000
    private static let lastingSeconds = 1.0
    private static let magic = Array("VFKT".utf8)

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        connectingTo peerPath: String, host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.peerPath = peerPath
        self.host = host
    }

    func open() throws(PortError) {
        guard !isClosing else { throw .refused("the port is being closed") }
        // A path that is somebody else's is a mistake to be told at once.
        try SocketPath(settings.path).clear()
        stage = .dialling
        dial()
    }

    // MARK: Connecting

    private func dial() {
        retry = nil
        guard !isClosing, case .dialling = stage else { return }
        do throws(PortError) {
            try attach(connect())
        } catch {
            note(error.description, .info)
            scheduleDial()
        }
    }

    private func scheduleDial() {
        retry?.cancel()
        retry = Timer(afterMilliseconds: retryMilliseconds) { [weak self] in self?.dial() }
        retryMilliseconds = min(2 * retryMilliseconds, Self.retryMost)
    }

    private func connect() throws(PortError) -> Link {
        let peerFile = FileIdentity(path: peerPath)
        let descriptor = cshims_socket_create_unixgram()
        guard descriptor >= 0 else {
            throw .system(operation: "create a socket for", subject: peerPath, code: -descriptor)
        }
        do throws(PortError) {
            _ = cshims_socket_set_pass_rights(descriptor, false)
            let result = cshims_socket_connect_path(descriptor, peerPath)
            guard result >= 0 else {
                throw .system(operation: "connect to", subject: peerPath, code: -result)
            }
            let place = SocketPath(settings.path)
            try place.clear()
            let file = try place.bind(descriptor, settings.access)
            if settings.vfkitMagic { try greet(descriptor) }
            return Link(descriptor: descriptor, file: file, peerFile: peerFile)
        } catch {
            _ = cshims_descriptor_close(descriptor)
            throw error
        }
    }

    private func greet(_ descriptor: Int32) throws(PortError) {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        let count = send(descriptor, Self.magic, Self.magic.count, flags)
        guard count == Self.magic.count else {
            throw .system(operation: "greet", subject: peerPath, code: errno)
        }
    }

    private func attach(_ link: Link) throws(PortError) {
        do throws(PortError) {
            effectiveSendBuffer = try setSendBuffer(settings.sendBuffer, link)
            let generation = try host.attach(
                ConnectionSettings(
                    port: id, transport: .unixgram, descriptor: link.descriptor,
                    frameLengthMax: configuration.maxFrame, offload: configuration.offload,
                    queueBytes: configuration.queueBytes,
                    queueDiscipline: configuration.queueDiscipline,
                    queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
                    pausesOnCongestion: configuration.pausesOnCongestion))
            stage = .attached(link, generation: generation)
        } catch {
            release(link)
            throw error
        }
    }

    private func setSendBuffer(_ bytes: Int, _ link: Link) throws(PortError) -> Int {
        let effective = cshims_socket_set_send_buffer(link.descriptor, Int64((bytes + 1) / 2))
        guard effective >= 0 else {
            throw .system(
                operation: "set the send buffer of", subject: settings.path,
                code: Int32(-effective))
        }
        return Int(effective)
    }

    /// Removes our file, if it is still ours, and closes the socket.
    private func release(_ link: Link) {
        if FileIdentity(path: settings.path) == link.file { _ = cshims_file_remove(settings.path) }
        _ = cshims_descriptor_close(link.descriptor)
    }

    // MARK: Attached

    private var peer: PeerStatus { PeerStatus(address: peerPath.printable) }

    func handle(_ event: DataPlaneEvent) {
        if event.kind == .retired { return becomeRetired() }
        guard case .attached(let link, let generation) = stage, generation == event.generation
        else { return }
        switch event.kind {
        case .activated:
            lastError = nil
            host.log(.info, "attached \(peerPath.printable)", port: configuration.name)
            host.tell(.connectionEstablished(configuration.name, peer))
        case .activationFailed:
            let reason = ringRefusal(event.errno, of: "the port's socket")
            note(reason, .error)
            host.tell(.connectionRefused(configuration.name, peer, reason: reason))
            detach(link)
        case .peerGone: leave(SystemText.reason(event.errno))
        case .retired: break
        }
    }

    private func leave(_ reason: String) {
        guard case .attached(let link, _) = stage else { return }
        host.log(
            .info, "detached \(peerPath.printable): \(reason)", port: configuration.name)
        host.tell(.connectionClosed(configuration.name, peer, reason: reason))
        if Date().timeIntervalSince(since) >= Self.lastingSeconds {
            retryMilliseconds = Self.retryLeast
        }
        detach(link)
    }

    private func detach(_ link: Link) {
        stage = .leaving(link)
        host.detach(id)
    }

    private func becomeRetired() {
        guard case .leaving(let link) = stage else { return }
        release(link)
        effectiveSendBuffer = nil
        guard !isClosing else { return retired.open() }
        stage = .dialling
        scheduleDial()
    }

    func tend() {
        guard !isClosing, case .attached(let link, _) = stage else { return }
        if let reason = failure(of: link) { leave(reason) }
    }

    /// Why the peer that we are connected to cannot be there any more; nil: it can.
    private func failure(of link: Link) -> String? {
        guard FileIdentity(path: peerPath) == link.peerFile else {
            return "another socket has its path"
        }
        let probe = cshims_socket_create_unixgram()
        guard probe >= 0 else { return nil }
        defer { _ = cshims_descriptor_close(probe) }
        let result = cshims_socket_connect_path(probe, peerPath)
        return result == -ECONNREFUSED ? "nobody owns its path any more" : nil
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String, _ level: PortLogLevel) {
        guard message != lastError else { return }
        lastError = message
        host.log(level, message, port: configuration.name)
    }

    // MARK: Changing and closing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        var granted: Int?
        if case .attached(let link, _) = stage {
            if wanted.access != settings.access {
                try SocketPath(settings.path).change(
                    link.file, to: wanted.access, from: settings.access)
            }
            if wanted.sendBuffer != settings.sendBuffer {
                granted = try setSendBuffer(wanted.sendBuffer, link)
                effectiveSendBuffer = granted
            }
        }
        let changed = next.liveSettings(sendBuffer: granted)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        (configuration, settings) = (next, wanted)
    }

    func close() async {
        guard !isClosing else { return await closed.wait() }
        isClosing = true
        retry?.cancel()
        if case .attached = stage { leave("the port is closed") }
        if case .leaving = stage { await retired.wait() }
        stage = .closed
        closed.open()
    }

    func describe(into status: inout PortStatus) {
        status.path = peerPath
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        switch stage {
        case .closed: status.state = .failed
        case .dialling, .leaving: status.state = .connecting
        case .attached:
            status.state = .attached
            status.peer = peer
        }
    }

    var warnings: [String] { [] }
}
