// A port whose socket or device another process opens: it waits for a descriptor, and for the next
// one when the first has lost its other end.
//
//     closed --open--> waiting --take--> attached --peer gone--> leaving --retired--> waiting
//                                           `--------close-----> leaving --retired--> closed
//
// A peer cannot come back by itself, as it could to a path: it has no socket to connect to but the
// one whose other end is here. So a port that is closed while its peer lives gives the descriptor
// back (`surrender`), and whoever opens the port anew with other settings takes it along.
//
// How a peer's end is noticed is told in PassedPeer.swift.

internal import CShimsSystem
internal import Dataplane
internal import Foundation
internal import SwitchCore

/// A port with a `source`.
@ControlActor
final class DescriptorPort: ManagedPort {
    enum Stage {
        case closed, waiting, leaving
        case attached(PassedPeer, generation: UInt32)
    }

    let id: PortID
    private(set) var configuration: PortConfiguration
    private(set) var settings: PortConfiguration.Passed
    unowned let host: any PortHost
    var stage = Stage.closed {
        didSet {
            since = Date()
            host.stateChanged()
        }
    }
    var since = Date()
    /// The data plane is at rest.
    var isSuspended = false
    /// The peer came with the port from a predecessor, and does not forward yet.
    var isInherited = false
    /// Frames that waited for it there.
    var inheritedFrames: [WaitingFrame] = []
    /// Of the peer; the data plane reads and writes it until it has retired the port.
    private(set) var descriptor: PassedDescriptor?
    private var processEnd: ReadSource?
    /// Whether the other end is looked at each time; else it is every other time.
    private var isProbing = false
    private var isProbeDue = false
    private var effectiveSendBuffer: Int?
    private var peerWarnings: [UnixgramWarning] = []
    private var lastError: String?
    private var isClosing = false
    /// The peer lives, and its descriptor may be given to another port.
    private var isKept = false
    /// Opens when the data plane has taken a descriptor, or refused it.
    private var settled = Gate()
    private var retired = Gate()
    private let closed = Gate()

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Passed,
        host: any PortHost
    ) {
        self.id = id
        self.configuration = configuration
        self.settings = settings
        self.host = host
    }

    func open() throws(PortError) {
        stage = .waiting
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
    var isVacant: Bool { if case .waiting = stage { true } else { false } }

    // MARK: Taking a descriptor

    /// Attaches a descriptor; frames pass when it returns.
    /// - Throws: why the port cannot use it, who has the port, or what the kernel said.
    func take(_ passed: PassedDescriptor, from sender: HandoverPeer?) async throws(PortError) {
        // The peer of before may have gone unnoticed.
        askPeer()
        while case .leaving = stage { await retired.wait() }
        try begin(passed, from: sender)
        await settled.wait()
        guard case .attached = stage else {
            throw .refused(lastError ?? "its other end has gone already")
        }
    }

    /// Begins to attach a descriptor.
    func begin(_ passed: PassedDescriptor, from sender: HandoverPeer?) throws(PortError) {
        switch stage {
        case .waiting: break
        case .attached(let peer, _): throw .refused("the port has a peer: \(peer.summary)")
        case .closed, .leaving: throw .refused("the port is being closed")
        }
        guard let kind = DescriptorKind.of(settings.type) else {
            throw .refused("no descriptor can be passed to a \(settings.type.rawValue) port")
        }
        let facts = try kind.examine(passed.number, for: configuration)
        let warnings = try prepare(passed.number, facts)
        let peer = PassedPeer(passed.number, facts, from: sender)
        if case .dead(let reason) = peer.probe(passed.number) {
            throw .refused("the descriptor leads nowhere: \(reason)")
        }
        let generation = try host.attach(connection(passed.number, kind))
        descriptor = passed
        peerWarnings = warnings
        settled = Gate()
        stage = .attached(peer, generation: generation)
        watch(peer)
    }

    /// Makes a descriptor what the data plane needs it to be.
    private func prepare(
        _ descriptor: Int32, _ facts: cshims_descriptor_facts
    ) throws(PortError) -> [UnixgramWarning] {
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
            return []
        }
        // With these on, each datagram costs its sender more and may install a descriptor here.
        _ = cshims_socket_set_pass_credentials(descriptor, false)
        _ = cshims_socket_set_pass_pidfd(descriptor, false)
        _ = cshims_socket_set_pass_rights(descriptor, false)
        return try setSendBuffer(settings.sendBuffer, of: descriptor)
    }

    private func setSendBuffer(
        _ asked: Int?, of descriptor: Int32
    ) throws(PortError) -> [UnixgramWarning] {
        guard let asked else { return [] }
        // SO_SNDBUF doubles its value (socket(7)): half of what is wanted is what to set.
        let result = cshims_socket_set_send_buffer(descriptor, Int64(asked + 1) / 2)
        guard result >= 0 else {
            throw .system(
                operation: "set the send buffer of", subject: "the descriptor",
                code: Int32(-result))
        }
        let effective = Int(result)
        effectiveSendBuffer = effective
        return effective < asked ? [.sendBuffer(asked: asked, effective: effective)] : []
    }

    private func connection(_ descriptor: Int32, _ kind: DescriptorKind) -> ConnectionSettings {
        ConnectionSettings(
            port: id, transport: kind.transport, descriptor: descriptor,
            frameLengthMax: configuration.maxFrame, mtu: settings.mtu,
            offload: configuration.offload, queueBytes: configuration.queueBytes,
            queueDiscipline: configuration.queueDiscipline,
            queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
            pausesOnCongestion: configuration.pausesOnCongestion, waitingFrames: inheritedFrames)
    }

    // MARK: Attached

    /// Whether nobody tells of the peer's end. That of a connection comes behind its last frame,
    /// and the worker meets it there.
    private var isWatched: Bool { settings.type == .unixgram || settings.type == .tap }

    private func watch(_ peer: PassedPeer) {
        guard isWatched else { return }
        guard let process = peer.process else {
            isProbing = true
            return
        }
        // The handle closes its descriptor, so the source keeps it.
        processEnd = ReadSource(descriptor: process.descriptor, keeping: process) { [weak self] in
            self?.processEnded()
        }
    }

    private func processEnded() {
        processEnd?.cancel()
        processEnd = nil
        isProbing = true
        askPeer()
    }

    private func askPeer() {
        guard case .attached(let peer, _) = stage, !isSuspended, let descriptor else { return }
        if case .dead(let reason) = peer.probe(descriptor.number) { leave(reason) }
    }

    func tend() {
        guard case .attached = stage, !isClosing, isWatched else { return }
        isProbeDue.toggle()
        if isProbing || isProbeDue { askPeer() }
    }

    private func leave(_ reason: String) {
        guard case .attached(let peer, _) = stage else { return }
        host.log(.info, "detached \(peer.summary): \(reason)", port: configuration.name)
        host.tell(.connectionClosed(configuration.name, peer.status, reason: reason))
        detach()
    }

    private func detach() {
        isProbing = false
        processEnd?.cancel()
        processEnd = nil
        retired = Gate()
        stage = .leaving
        settled.open()
        host.detach(id)
    }

    func handle(_ event: DataPlaneEvent) {
        if event.kind == .retired {
            becomeRetired()
            return
        }
        guard case .attached(let peer, let generation) = stage, generation == event.generation
        else { return }
        switch event.kind {
        case .activated:
            lastError = nil
            let verb = isInherited ? "took over" : "attached"
            host.log(.info, "\(verb) \(peer.summary)", port: configuration.name)
            guard !isInherited else {
                isInherited = false
                return settled.open()
            }
            host.tell(.connectionEstablished(configuration.name, peer.status))
            settled.open()
        case .activationFailed:
            isInherited = false
            let reason = ringRefusal(event.errno, of: "the port's descriptor")
            note("\(peer.summary) is not attached: " + reason)
            host.tell(.connectionRefused(configuration.name, peer.status, reason: reason))
            detach()
        case .peerGone:
            leave(event.ending.reason(event.errno))
        case .retired:
            break
        }
    }

    private func becomeRetired() {
        guard case .leaving = stage else { return }
        effectiveSendBuffer = nil
        peerWarnings = []
        if !isKept {
            countUnserved()
            descriptor = nil
        }
        stage = .waiting
        retired.open()
        if !isClosing { host.becameVacant(configuration.name) }
    }

    /// Counts what the peer had sent and nobody could read any more.
    private func countUnserved() {
        guard settings.type == .unixgram, let descriptor else { return }
        let leftover = UnixgramListener.readLeftover(of: descriptor.number)
        host.count(id, .receivedFrames, UInt64(leftover.frames))
        host.count(id, .receivedBytes, UInt64(leftover.bytes))
        host.count(id, dropped: .noPeer, UInt64(leftover.frames))
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String) {
        guard message != lastError else { return }
        lastError = message
        host.log(.error, message, port: configuration.name)
    }

    // MARK: Changing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .passed(let wanted) = next.kind else { preconditionFailure("another source") }
        var granted: Int?
        if wanted.sendBuffer != settings.sendBuffer, case .attached = stage, let descriptor {
            peerWarnings = try setSendBuffer(wanted.sendBuffer, of: descriptor.number)
            granted = effectiveSendBuffer
        }
        let changed = next.liveSettings(sendBuffer: granted)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        (configuration, settings) = (next, wanted)
    }

    // MARK: Closing

    func close() async {
        guard !isClosing else {
            await closed.wait()
            return
        }
        isClosing = true
        if case .attached = stage {
            // A stream may be amid a frame, and cannot be continued by another connection.
            isKept = settings.type != .stream
            leave("the port is closed")
        }
        if case .leaving = stage { await retired.wait() }
        stage = .closed
        closed.open()
    }

    /// The descriptor of a peer that lived when the port was closed; the caller's from now on.
    func surrender() -> PassedDescriptor? {
        defer { descriptor = nil }
        return descriptor
    }

    // MARK: Reports

    func describe(into status: inout PortStatus) {
        status.since = since
        status.effectiveSendBuffer = effectiveSendBuffer
        status.lastError = lastError
        switch stage {
        case .closed: status.state = .failed
        case .waiting, .leaving: status.state = .listening
        case .attached(let peer, _):
            status.state = .attached
            status.peer = peer.status
            status.device = peer.device
        }
    }

    var warnings: [String] { peerWarnings.map { "\(configuration.name): \($0)" } }
}
