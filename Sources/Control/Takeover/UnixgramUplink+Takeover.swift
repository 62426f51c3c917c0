// A unixgram port that has connected goes along with its socket, which is bound and connected
// already.

internal import Dataplane
internal import SwitchCore

extension UnixgramUplink: HeritablePort {
    var isStream: Bool { false }

    func resume() {
        life.isSuspended = false
        dial()
    }

    func describe(
        _ link: Link, into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor]
    ) {
        state.link = SwitchState.LinkState(file: link.file, peerFile: link.peerFile)
        kept.append(keep(.socket, link.socket.number, link.socket))
    }

    func restorePeer(
        _ estate: PortEstate, _ descriptors: inout StateDescriptors
    ) throws(PortError) -> (peer: Link, connection: ConnectionSettings)? {
        guard let known = estate.state.link,
            let number = descriptors.take(.socket, of: configuration.name)
        else { return nil }
        let link = Link(
            socket: PassedDescriptor(adopting: number), file: known.file,
            peerFile: known.peerFile, peerPath: peerPath)
        life.showSendBuffer(
            try setSendBuffer(settings.sendBuffer, link), asked: settings.sendBuffer)
        return (link, life.connection(.unixgram, number))
    }

    func waitAfterRestoring() { waitAgain(isRefused: false) }
}
