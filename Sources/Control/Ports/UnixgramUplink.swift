// A unixgram port that connects: to another switch, or to whatever else listens for datagrams.
//
// The socket is made anew for each connection, again and again until that succeeds (Redial.swift).
// It is connected first and bound then: so nobody but the peer can ever send to it. The greeting
// lets the peer know at once where its answers go.
//
// Datagrams have no end. A failed send tells of one; so does a look at the peer's path, each time
// that the port is tended: nobody owns it any more, or another socket does.

internal import CShimsSystem
internal import Dataplane
internal import Glibc
internal import SwitchCore

/// A `unixgram` port with `connect`.
@ControlActor
final class UnixgramUplink: PeerPort {
    /// A socket of ours that is connected to the peer's.
    struct Link: PortPeer {
        let socket: PassedDescriptor
        /// Our own file, and the peer's as it was when we connected.
        let file: FileIdentity
        let peerFile: FileIdentity?
        let peerPath: String

        var summary: String { peerPath.printable }
        var status: PeerStatus { PeerStatus(address: summary) }
    }

    let life: PortLife<Link>
    private(set) var settings: PortConfiguration.Unixgram
    let peerPath: String
    private let redial = Redial()
    private static let magic = Array("VFKT".utf8)

    init(
        _ id: PortID, _ configuration: PortConfiguration, _ settings: PortConfiguration.Unixgram,
        connectingTo peerPath: String, host: any PortHost
    ) {
        life = PortLife(id, configuration, host: host)
        self.settings = settings
        self.peerPath = peerPath
    }

    var path: String? { peerPath }
    var idleState: PortStatus.State { .connecting }

    func open() throws(PortError) {
        guard !life.isClosing else { throw .refused("the port is being closed") }
        // A path that is somebody else's is a mistake to be told at once.
        try SocketPath(settings.path).clear()
        life.stage = .waiting
        dial()
    }

    // MARK: Connecting

    func dial() {
        guard !life.isClosing, !life.isSuspended, case .waiting = life.stage else { return }
        do throws(PortError) {
            try attach(connect())
        } catch {
            life.note(error.description, .info)
            waitAgain(isRefused: false)
        }
    }

    func waitAgain(isRefused: Bool) { redial.schedule { [weak self] in self?.dial() } }

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
            return Link(
                socket: PassedDescriptor(adopting: descriptor), file: file, peerFile: peerFile,
                peerPath: peerPath)
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
            let effective = try setSendBuffer(settings.sendBuffer, link)
            try life.attach(link, life.connection(.unixgram, link.socket.number))
            life.showSendBuffer(effective, asked: settings.sendBuffer)
        } catch {
            letGo(of: link)
            throw error
        }
    }

    func setSendBuffer(_ bytes: Int, _ link: Link) throws(PortError) -> Int {
        let effective = cshims_socket_set_send_buffer(
            link.socket.number, Int64((bytes + 1) / 2))
        guard effective >= 0 else {
            throw .system(
                operation: "set the send buffer of", subject: settings.path,
                code: Int32(-effective))
        }
        return Int(effective)
    }

    // MARK: Attached

    func peerLeaves() { redial.connectionEnded(since: life.since) }

    /// Removes our file, if it is still ours, and closes the socket.
    func letGo(of link: Link) {
        if FileIdentity(path: settings.path) == link.file { _ = cshims_file_remove(settings.path) }
        _ = cshims_descriptor_close(link.socket.take())
    }

    func tend() {
        guard !life.isClosing, !life.isSuspended, case .attached(let link, _) = life.stage
        else { return }
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

    // MARK: Changing and closing

    func adapt(to next: PortConfiguration) throws(PortError) {
        guard case .unixgram(let wanted) = next.kind else { preconditionFailure("another type") }
        if wanted.access != settings.access, case .attached(let link, _) = life.stage {
            try SocketPath(settings.path).change(
                link.file, to: wanted.access, from: settings.access)
        }
        try life.change(to: next, sendBuffer: wanted.sendBuffer, from: settings.sendBuffer) {
            link throws(PortError) in try setSendBuffer(wanted.sendBuffer, link)
        }
        settings = wanted
    }

    func stopWaiting() { redial.cancel() }
}
