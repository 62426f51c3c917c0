// Finding a peer whose greeting is lost.

import CShimsSystem
import Glibc
import Testing

@testable import Control

@Suite struct UnixgramSilentPeerTests {
    let directory = TemporaryDirectory()
    let listener: UnixgramListener

    init() throws {
        listener = try UnixgramListener.listen(path: directory("port.sock"), mode: 0o666)
    }

    /// Where the greeting of a successor ends that comes before Control knows.
    enum Reader: CaseIterable { case dataPlane, leftover }

    @Test(arguments: Reader.allCases)
    func `a successor whose greeting another one has read is attached all the same`(
        reader: Reader
    ) throws {
        try attachAndLose()
        let heir = try successor("heir.sock")
        heir.send(magic)
        if reader == .dataPlane { #expect(received(listener.descriptor) == magic) }
        let leftover = reader == .leftover ? 1 : 0
        #expect(
            try listener.listenAgain()
                == UnixgramListener.Leftover(frames: leftover, bytes: 4 * leftover))
        // This is all that a handshake could have known.
        #expect(try listener.accept(.test).attachment == nil)

        let outcome = try listener.acceptSilent(.test)
        let attachment = try #require(outcome.attachment)
        #expect(outcome.counts == HandshakeCounts() && outcome.refusals == [])
        #expect(!attachment.usedMagic && attachment.frames == [])
        #expect(!attachment.warnings.contains { if case .queueLength = $0 { true } else { false } })
        #expect(attachment.peer.address.path == directory("heir.sock"))
        #expect(attachment.peer.uid == geteuid())
        #expect(attachment.peer.pid == nil && attachment.peer.process == nil)
        #expect(
            attachment.peer.summary
                == "a process (uid \(geteuid()), \(directory("heir.sock")))")
    }

    @Test func `a peer that was found is connected, alone, and watched like any other`() throws {
        try attachAndLose()
        var heir: RawPeer? = try successor("heir.sock")
        _ = try listener.listenAgain()
        let peer = try #require(try listener.acceptSilent(.test).attachment?.peer)

        RawPeer.send(frame(1), on: listener.descriptor)
        #expect(heir?.receive() == frame(1))
        heir?.send(frame(2))
        var bytes = [UInt8](repeating: 0, count: 2048)
        var datagram = cshims_datagram()
        #expect(cshims_socket_receive(listener.descriptor, &bytes, 2048, &datagram) == 60)
        #expect(!datagram.has_credentials && datagram.pidfd == -1)
        #expect(RawPeer(bound: directory("late.sock")).connect(listener.path) == EPERM)

        #expect(listener.probe(peer) == .alive)
        heir = nil
        #expect(listener.probe(peer) == .dead(reason: "its socket is closed"))
    }

    @Test func `a successor that speaks before it is looked for tells who it is`() throws {
        try attachAndLose()
        let heir = try successor("heir.sock")
        _ = try listener.listenAgain()
        heir.send(frame(1))
        let attachment = try #require(try listener.acceptSilent(.test).attachment)
        #expect(attachment.peer.pid == getpid())
        #expect(attachment.frames == [frame(1)])
    }

    @Test func `who made the socket must be on the list`() throws {
        try attachAndLose()
        let heir = try successor("heir.sock")
        _ = try listener.listenAgain()
        let stranger = geteuid() + 1
        let refused = try listener.acceptSilent(
            HandshakeRules(allowUIDs: [stranger], sendBuffer: 400_000, frameLengthMax: 1518))
        #expect(refused.attachment == nil)
        #expect(refused.refusals.map(\.reason) == [.userNotAllowed([stranger])])
        #expect(refused.refusals.first?.uid == geteuid())
        let taken = try listener.acceptSilent(
            HandshakeRules(allowUIDs: [geteuid()], sendBuffer: 400_000, frameLengthMax: 1518))
        #expect(taken.attachment?.peer.address.path == directory("heir.sock"))
        withExtendedLifetime(heir) {}
    }

    @Test func `a silent client without a path is refused, and does not hide a better one`()
        throws
    {
        let client = RawPeer()
        client.connect(listener.path)
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil)
        #expect(outcome.refusals.map(\.reason) == [.unbound])
        #expect(outcome.counts == HandshakeCounts())
        let heir = try successor("heir.sock")
        #expect(
            try listener.acceptSilent(.test).attachment?.peer.address.path
                == directory("heir.sock"))
        withExtendedLifetime(heir) {}
    }

    @Test func `of several silent clients the first one that speaks is taken`() throws {
        let clients = try (1...20).map { try successor("client-\($0).sock") }
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil)
        #expect(Set(outcome.refusals.map(\.reason)) == [.silentAmongOthers])
        #expect(outcome.refusals.first?.description.contains("a port of its own") == true)
        clients[7].send(magic)
        #expect(
            try listener.accept(.test).attachment?.peer.address.path
                == directory("client-8.sock"))
    }

    @Test func `a living peer that was let go has to speak before it is taken back`() throws {
        let vm = try successor("vm.sock")
        vm.send(magic)
        #expect(try listener.accept(.test).attachment != nil)
        _ = try listener.listenAgain()
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil && outcome.refusals == [])
        vm.send(frame(1))
        #expect(try listener.acceptSilent(.test).attachment?.frames == [frame(1)])
    }

    @Test func `a silent client whose path has gone is refused with the usual causes`() throws {
        let heir = try successor("heir.sock")
        unlink(directory("heir.sock"))
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil)
        #expect(outcome.refusals.map(\.reason) == [.connectBack(ENOENT)])
        withExtendedLifetime(heir) {}
    }

    @Test func `another socket of the same name is not taken for the silent one`() throws {
        let heir = try successor("heir.sock")
        let other = RawPeer(bound: directory("heir.sock"))
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil)
        #expect(outcome.refusals.map(\.reason) == [.pathLeadsElsewhere])
        // The port is as free as before.
        other.connect(listener.path)
        other.send(frame(1))
        #expect(try listener.accept(.test).attachment?.frames == [frame(1)])
        withExtendedLifetime(heir) {}
    }

    @Test func `where nobody is connected nobody is found`() throws {
        try attachAndLose()
        _ = try listener.listenAgain()
        let other = try UnixgramListener.listen(path: directory("other.sock"), mode: 0o666)
        let client = RawPeer(bound: directory("client.sock"))
        client.connect(other.path)
        let outcome = try listener.acceptSilent(.test)
        #expect(outcome.attachment == nil && outcome.refusals == [])
    }

    @Test func `a table longer than one answer of the kernel is read to its end`() throws {
        var own = cshims_unix_diagnosis()
        #expect(cshims_socket_diagnose(listener.descriptor, &own) == 0)
        let clients = try (1...400).map { try successor("a-client-of-many-\($0).sock") }
        var found = [cshims_unix_diagnosis](repeating: cshims_unix_diagnosis(), count: 3)
        #expect(cshims_unix_find_clients(own.inode, &found, 2) == 400)
        #expect(found.map(\.has_peer) == [true, true, false])
        #expect(found.prefix(2).allSatisfy { $0.peer_inode == own.inode && $0.has_uid })
        withExtendedLifetime(clients) {}
    }

    /// A client that is connected to the port and has said nothing.
    private func successor(_ name: String) throws -> RawPeer {
        let peer = RawPeer(bound: directory(name))
        try #require(peer.connect(listener.path) == 0)
        return peer
    }

    /// A first peer comes and dies, and a send to it dissolves the connection.
    private func attachAndLose() throws {
        var vm: RawPeer? = try successor("first.sock")
        vm?.send(magic)
        try #require(try listener.accept(.test).attachment != nil)
        vm = nil
        RawPeer.send(frame(1), on: listener.descriptor)
    }
}
