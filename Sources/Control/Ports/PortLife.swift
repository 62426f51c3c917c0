internal import Dataplane
internal import Foundation
internal import SwitchCore

/// Who is at the other end of a port.
protocol PortPeer {
    /// "qemu-system-x86_64 (pid 12, uid 0)", as far as known.
    var summary: String { get }
    /// The same for reports.
    var status: PeerStatus { get }
}

/// What every port with a peer keeps about itself; see `PeerPort`.
@ControlActor
final class PortLife<Peer: PortPeer> {
    enum Stage {
        case closed, waiting, paused, failed
        case attached(Peer, generation: UInt32)
        case leaving(Peer, isRefused: Bool)
    }

    let id: PortID
    unowned let host: any PortHost
    var configuration: PortConfiguration
    var stage = Stage.closed {
        didSet {
            since = Date()
            host.stateChanged()
        }
    }
    /// Since when the port is at its stage.
    var since = Date()
    /// What went wrong last, for `status`; nil: the port works.
    var lastError: String?
    /// What the peer's socket holds for it, bytes as the kernel charges them; nil: not asked for.
    var effectiveSendBuffer: Int?
    /// What holds the peer back.
    var warnings: [UnixgramWarning] = []
    /// The data plane is at rest.
    var isSuspended = false
    /// The peer came with the port from a predecessor, and does not forward yet.
    var isInherited = false
    /// The data plane has taken the peer.
    var isActive = false
    var isClosing = false
    /// Opens when the data plane has let go of the peer that leaves.
    var retired = Gate()
    /// Opens when the port is closed.
    let closed = Gate()

    init(_ id: PortID, _ configuration: PortConfiguration, host: any PortHost) {
        self.id = id
        self.configuration = configuration
        self.host = host
    }

    /// What the data plane is to know of a peer behind a descriptor.
    func connection(_ transport: TransportKind, _ descriptor: Int32) -> ConnectionSettings {
        ConnectionSettings(
            port: id, transport: transport, descriptor: descriptor,
            frameLengthMax: configuration.maxFrame, offload: configuration.offload,
            queueBytes: configuration.queueBytes, queueDiscipline: configuration.queueDiscipline,
            queueDelayNanoseconds: UInt64(configuration.queueDelayNanoseconds),
            pausesOnCongestion: configuration.pausesOnCongestion,
            floodRate: FloodRate(framesPerSecond: configuration.floodRate))
    }

    /// Gives a peer to the data plane, which says whether it takes it by an event.
    func attach(_ peer: Peer, _ connection: ConnectionSettings) throws(PortError) {
        do throws(PortError) {
            let generation = try host.attach(connection)
            isActive = false
            stage = .attached(peer, generation: generation)
        } catch {
            forgetPeer()
            throw error
        }
    }

    /// Forgets what was known of the peer alone.
    func forgetPeer() {
        isInherited = false
        effectiveSendBuffer = nil
        warnings = []
    }

    /// Takes note of the send buffer that the kernel has granted.
    func showSendBuffer(_ effective: Int, asked: Int) {
        effectiveSendBuffer = effective
        warnings.removeAll { if case .sendBuffer = $0 { true } else { false } }
        if effective < asked {
            warnings.append(.sendBuffer(asked: asked, effective: effective))
        }
    }

    /// Takes over a configuration whose keys all change live.
    /// - Parameter sendBuffer: what the kernel has granted, where another one is wanted.
    func change(to next: PortConfiguration, sendBuffer: Int?) {
        let changed = next.liveSettings(sendBuffer: sendBuffer)
        if changed != configuration.liveSettings() { host.change(id, to: changed) }
        configuration = next
    }

    /// The same for a port whose socket has a send buffer, which `set` asks the kernel for.
    func change(
        to next: PortConfiguration, sendBuffer wanted: Int, from former: Int,
        _ set: (Peer) throws(PortError) -> Int
    ) throws(PortError) {
        guard wanted != former, case .attached(let peer, _) = stage else {
            return change(to: next, sendBuffer: nil)
        }
        let effective = try set(peer)
        showSendBuffer(effective, asked: wanted)
        change(to: next, sendBuffer: effective)
    }

    /// Keeps an error for `status`, and logs it unless that was the last word.
    func note(_ message: String, _ level: PortLogLevel) {
        guard message != lastError else { return }
        lastError = message
        log(level, message)
    }

    func log(_ level: PortLogLevel, _ message: String) {
        host.log(level, message, port: configuration.name)
    }

    /// Counts frames that a peer sent and nobody could take.
    func countUnserved(frames: Int, bytes: Int) {
        host.count(id, .receivedFrames, UInt64(frames))
        host.count(id, .receivedBytes, UInt64(bytes))
        host.count(id, dropped: .noPeer, UInt64(frames))
    }

    /// Counts what ends in a handshake and never reaches the worker: it is received and dropped
    /// here, so that the books balance.
    func count(_ counts: HandshakeCounts) {
        host.count(id, .handshakes, UInt64(counts.magic))
        host.count(id, .receivedFrames, UInt64(counts.droppedFrames))
        host.count(id, .receivedBytes, UInt64(counts.droppedBytes))
        host.count(id, dropped: .runt, UInt64(counts.runts))
        host.count(id, dropped: .foreign, UInt64(counts.foreign))
        host.count(id, dropped: .oversize, UInt64(counts.oversize))
        host.count(id, dropped: .handoverFull, UInt64(counts.handoverFull))
    }
}
