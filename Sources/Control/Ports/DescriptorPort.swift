// A port whose socket or device another process opens: it waits for a descriptor, and for the next
// one when the first has lost its other end.
//
// A peer cannot come back by itself, as it could to a path: it has no socket to connect to but the
// one whose other end is here. So a port that is closed while its peer lives gives the descriptor
// back (`surrender`), and whoever opens the port anew with other settings takes it along.
//
// How a peer's end is noticed is told in PassedPeer.swift.

internal import CShimsSystem
internal import Dataplane
internal import SwitchCore

/// A port with a `source`.
@ControlActor
final class DescriptorPort: PeerPort {
    let life: PortLife<PassedPeer>
    private(set) var settings: PortConfiguration.Passed
    /// Of the peer; the data plane reads and writes it until it has retired the port.
    var descriptor: PassedDescriptor?
    private var watch: PeerWatch?
    /// The peer lives, and its descriptor may be given to another port.
    private var isKept = false
    /// Opens when the data plane has taken a descriptor, or refused it.
    private var settled = Gate()

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Passed,
        host: any PortHost
    ) {
        life = PortLife(id, configuration, host: host)
        self.settings = settings
    }

    var path: String? { nil }
    var idleState: PortStatus.State { .listening }

    func open() throws(PortError) {
        life.stage = .waiting
        if let heirloom = host.heirloom(of: configuration.name) {
            try begin(heirloom, from: nil)
            return
        }
        guard settings.source == .inherit else { return }
        let inherited: PassedDescriptor?
        if let number = settings.number {
            inherited = InheritedDescriptors.take(number: Int32(number))
        } else {
            inherited = InheritedDescriptors.take(name: configuration.name)
        }
        guard let inherited else {
            let which =
                settings.number.map { "with the number \($0)" }
                ?? "with its name in LISTEN_FDNAMES"
            throw .refused(
                "no descriptor \(which) was left open for the switch, or a port has had it: "
                    + "source = \"handover\" waits for one")
        }
        try begin(inherited, from: nil)
    }

    /// Whether a descriptor can be taken.
    var isVacant: Bool { if case .waiting = life.stage { true } else { false } }

    // MARK: Taking a descriptor

    /// Attaches a descriptor; frames pass when it returns.
    /// - Throws: why the port cannot use it, who has the port, or what the kernel said.
    func take(_ passed: PassedDescriptor, from sender: HandoverPeer?) async throws(PortError) {
        // The peer of before may have gone unnoticed.
        askPeer()
        while case .leaving = life.stage { await life.retired.wait() }
        try begin(passed, from: sender)
        await settled.wait()
        guard case .attached = life.stage else {
            throw .refused(life.lastError ?? "its other end has gone already")
        }
    }

    private func begin(
        _ passed: PassedDescriptor, from sender: HandoverPeer?
    ) throws(PortError) {
        guard !life.isClosing else { throw .refused("the port is being closed") }
        switch life.stage {
        case .waiting: break
        case .attached(let peer, _): throw .refused("the port has a peer: \(peer.summary)")
        case .closed, .leaving, .paused, .failed: throw .refused("the port is being closed")
        }
        let (peer, connection) = try examine(passed, from: sender)
        settled = Gate()
        try life.attach(peer, connection)
        descriptor = passed
        beginWatching(peer)
    }

    /// Finds out what a descriptor is, and makes it what the port can use.
    func examine(
        _ passed: PassedDescriptor, from sender: HandoverPeer?
    ) throws(PortError) -> (peer: PassedPeer, connection: ConnectionSettings) {
        guard let kind = DescriptorKind.of(settings.type) else {
            throw .refused("no descriptor can be passed to a \(settings.type.rawValue) port")
        }
        let facts = try kind.examine(passed.number, for: configuration)
        try prepare(passed.number, facts)
        let peer = PassedPeer(passed.number, facts, from: sender)
        if case .dead(let reason) = peer.probe(passed.number) {
            throw .refused("the descriptor leads nowhere: \(reason)")
        }
        var connection = life.connection(kind.transport, passed.number)
        connection.mtu = settings.mtu ?? connection.mtu
        return (peer, connection)
    }

    func beginWatching(_ peer: PassedPeer) {
        guard isWatched else { return }
        watch = PeerWatch(peer.process) { [weak self] in self?.askPeer() }
    }

    /// Makes a descriptor what the data plane needs it to be.
    private func prepare(
        _ descriptor: Int32, _ facts: cshims_descriptor_facts
    ) throws(PortError) {
        let adopted = cshims_descriptor_adopt(descriptor)
        guard adopted >= 0 else {
            throw .system(operation: "use", subject: "the descriptor", code: -adopted)
        }
        guard facts.is_socket else {
            let offload =
                configuration.offload.hasHeader
                ? CSHIMS_TAP_OFFLOAD_TCP_UDP : CSHIMS_TAP_OFFLOAD_NONE
            let result = cshims_tap_adopt(descriptor, offload)
            guard result >= 0 else {
                throw .system(operation: "set up", subject: facts.deviceName, code: -result)
            }
            return
        }
        // With these on, each datagram costs its sender more and may install a descriptor here.
        _ = cshims_socket_set_pass_credentials(descriptor, false)
        _ = cshims_socket_set_pass_pidfd(descriptor, false)
        _ = cshims_socket_set_pass_rights(descriptor, false)
        try setSendBuffer(settings.sendBuffer, of: descriptor)
    }

    private func setSendBuffer(_ asked: Int?, of descriptor: Int32) throws(PortError) {
        guard let asked else { return }
        // SO_SNDBUF doubles its value (socket(7)): half of what is wanted is what to set.
        let result = cshims_socket_set_send_buffer(descriptor, Int64(asked + 1) / 2)
        guard result >= 0 else {
            throw .system(
                operation: "set the send buffer of", subject: "the descriptor",
                code: Int32(-result))
        }
        life.showSendBuffer(Int(result), asked: asked)
    }

    // MARK: Attached

    /// Whether nobody tells of the peer's end. That of a connection comes behind its last frame,
    /// and the worker meets it there.
    private var isWatched: Bool { settings.type == .unixgram || settings.type == .tap }

    private func askPeer() {
        guard case .attached(let peer, _) = life.stage, !life.isSuspended, let descriptor
        else { return }
        if case .dead(let reason) = peer.probe(descriptor.number) { leave(reason) }
    }

    func tend() {
        guard case .attached = life.stage, !life.isClosing else { return }
        watch?.tend()
    }

    func peerActivated() { settled.open() }

    func peerLeaves() {
        watch?.cancel()
        watch = nil
        // A stream may be amid a frame, and cannot be continued by another connection.
        isKept = life.isClosing && settings.type != .stream
        settled.open()
    }

    func letGo(of peer: PassedPeer) {
        guard !isKept else { return }
        countUnserved()
        descriptor = nil
    }

    func waitAgain(isRefused: Bool) { host.becameVacant(configuration.name) }

    /// Counts what the peer had sent and nobody could read any more.
    private func countUnserved() {
        guard settings.type == .unixgram, let descriptor else { return }
        let leftover = UnixgramListener.readLeftover(of: descriptor.number)
        life.countUnserved(frames: leftover.frames, bytes: leftover.bytes)
    }

    // MARK: Changing and closing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .passed(let wanted) = next.kind else { preconditionFailure("another source") }
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .attached = life.stage, let descriptor {
            try setSendBuffer(wanted.sendBuffer, of: descriptor.number)
            granted = life.effectiveSendBuffer
        }
        life.change(to: next, sendBuffer: granted)
        settings = wanted
    }

    /// The descriptor of a peer that lived when the port was closed; the caller's from now on.
    func surrender() -> PassedDescriptor? {
        defer { descriptor = nil }
        return descriptor
    }

    // MARK: Reports

    var device: String? {
        if case .attached(let peer, _) = life.stage { peer.device } else { nil }
    }
}

extension PassedPeer: PortPeer {}
