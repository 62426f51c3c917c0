// The handshake, replaying each client's habits.

import CShimsSystem
import Glibc
import Testing

@testable import Control

@Suite struct UnixgramHandshakeTests {
    let directory = TemporaryDirectory()
    let listener: UnixgramListener

    init() throws {
        listener = try UnixgramListener.listen(path: directory("port.sock"), mode: 0o666)
    }

    @Test func `libkrun's way in: bind, connect, VFKT, raw frames`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        #expect(vm.connect(listener.path) == 0)
        vm.send(magic)
        for number in 1...3 { vm.send(frame(UInt8(number))) }

        let outcome = try listener.accept(.test)
        let attachment = try #require(outcome.attachment)
        #expect(attachment.usedMagic)
        #expect(attachment.frames == [frame(1), frame(2), frame(3)])
        #expect(outcome.counts == HandshakeCounts(magic: 1))
        #expect(attachment.peer.address.path == directory("vm.sock"))
        #expect(attachment.peer.pid == getpid())
        #expect(attachment.peer.uid == geteuid())
        #expect(attachment.peer.command == SystemText.command(of: getpid()))
        #expect(attachment.peer.process?.hasEnded == false)

        vm.send(frame(4))
        #expect(received(listener.descriptor) == frame(4))
    }

    @Test func `QEMU's way in: a frame to the path, never connected`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        #expect(vm.send(frame(1), to: listener.path) == 0)

        let outcome = try listener.accept(.test)
        let attachment = try #require(outcome.attachment)
        #expect(!attachment.usedMagic)
        #expect(attachment.frames == [frame(1)])
        // Connected back, the socket takes more frames than an unconnected one's backlog.
        for number in 0..<30 { #expect(vm.send(frame(UInt8(number)), to: listener.path) == 0) }
    }

    @Test func `the attached socket passes neither credentials nor descriptors`() throws {
        let vm = Child.vm(directory("vm.sock"), listener.path, frames: 8)
        var outcome: HandshakeOutcome? = try listener.acceptNext()
        #expect(outcome?.attachment?.peer.pid == vm.pid)
        #expect(pidfdCount(of: vm.pid) == 1)
        // The child answers every frame; what comes now comes without its sender's name.
        RawPeer.send(frame(1), on: listener.descriptor)
        #expect(waitReadable(listener.descriptor))
        var bytes = [UInt8](repeating: 0, count: 2048)
        var datagram = cshims_datagram()
        #expect(cshims_socket_receive(listener.descriptor, &bytes, 2048, &datagram) == 60)
        #expect(!datagram.has_credentials && datagram.pidfd == -1)
        outcome = nil
        #expect(pidfdCount(of: vm.pid) == 0)
    }

    @Test(arguments: [0, 1, 3, 5, 13])
    func `a runt is counted and the next datagram decides`(length: Int) throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send([UInt8](repeating: 0x56, count: length))
        vm.send(frame(1, length: 14))

        let outcome = try listener.accept(.test)
        #expect(outcome.attachment?.frames == [frame(1, length: 14)])
        #expect(outcome.counts == HandshakeCounts(runts: 1, droppedBytes: length))
    }

    @Test func `a frame that starts like the magic is a frame`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        let bytes = magic + frame(1).dropFirst(4)
        vm.send(bytes)
        let outcome = try listener.accept(.test)
        #expect(outcome.attachment?.usedMagic == false)
        #expect(outcome.attachment?.frames == [bytes])
        #expect(outcome.counts == HandshakeCounts())
    }

    @Test func `what the peer sends twice, too short or too long is counted`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        vm.send(magic)
        vm.send([1, 2, 3])
        vm.send(frame(1, length: 1518))
        vm.send(frame(2, length: 1519))
        let outcome = try listener.accept(.test)
        #expect(outcome.attachment?.frames == [frame(1, length: 1518)])
        #expect(
            outcome.counts
                == HandshakeCounts(magic: 2, runts: 1, oversize: 1, droppedBytes: 3 + 1519))
    }

    @Test func `an unbound client is refused once and told what to do`() throws {
        let client = RawPeer()
        client.connect(listener.path)
        client.send(magic)
        client.send(frame(1))
        let outcome = try listener.accept(.test)
        #expect(outcome.attachment == nil)
        #expect(outcome.counts == HandshakeCounts(magic: 1, foreign: 1, droppedBytes: 60))
        #expect(outcome.refusals.map(\.reason) == [.unbound])
        #expect(outcome.refusals[0].description.contains("bind it to one before it connects"))
        #expect(outcome.refusals[0].description.contains("pid \(getpid())"))
        client.send(frame(2))
        #expect(try listener.accept(.test).refusals.isEmpty)
    }

    @Test func `an autobound client is answered by its abstract name`() throws {
        let client = RawPeer()
        _ = cshims_socket_set_pass_credentials(client.descriptor, true)
        client.connect(listener.path)
        client.send(frame(1))
        let attachment = try #require(try listener.accept(.test).attachment)
        #expect(attachment.peer.address.path == nil)
        #expect(attachment.peer.address.description.hasPrefix("@"))
        RawPeer.send(frame(9), on: listener.descriptor)
        #expect(client.receive() == frame(9))
    }

    @Test func `a second source in the queue is dropped and described`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        let other = RawPeer(bound: directory("other.sock"))
        vm.connect(listener.path)
        other.connect(listener.path)
        vm.send(magic)
        other.send(magic)
        vm.send(frame(1))
        other.send(frame(2))
        vm.send(frame(3))

        let outcome = try listener.accept(.test)
        #expect(outcome.attachment?.frames == [frame(1), frame(3)])
        #expect(outcome.counts == HandshakeCounts(magic: 2, foreign: 1, droppedBytes: 60))
        #expect(outcome.foreignPeer?.address.path == directory("other.sock"))
        #expect(outcome.foreignPeer?.pid == getpid())
        // From now on the kernel refuses it at its own end.
        #expect(other.send(frame(4)) == EPERM)
        #expect(vm.send(frame(5)) == 0)
    }

    @Test func `a full backlog of a stranger leaves none of its frames behind`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        let other = RawPeer(bound: directory("other.sock"))
        vm.connect(listener.path)
        other.connect(listener.path)
        vm.send(magic)
        while other.send(frame(2)) == 0 {}
        let outcome = try listener.accept(.test)
        #expect(outcome.counts.foreign > 0)
        #expect(received(listener.descriptor) == nil)
    }

    @Test(.enabled(if: isRoot))
    func `a user that is not on the list is refused, the next one is taken`() throws {
        let rules = HandshakeRules(allowUIDs: [1235], sendBuffer: 400_000, frameLengthMax: 1518)
        let wrong = Child.vm(directory("wrong.sock"), listener.path, uid: 1234)
        let refused = try listener.acceptNext(rules)
        #expect(refused.attachment == nil)
        #expect(refused.refusals.map(\.reason) == [.userNotAllowed([1235])])
        #expect(refused.refusals.first?.uid == 1234)
        #expect(refused.refusals.first?.description.contains("perl (pid \(wrong.pid)") == true)

        let right = Child.vm(directory("right.sock"), listener.path, uid: 1235)
        let attachment = try #require(try listener.acceptNext(rules).attachment)
        #expect(attachment.peer.pid == right.pid)
        #expect(attachment.peer.uid == 1235)
    }

    @Test(.enabled(if: isRoot))
    func `a client whose socket belongs to another user is refused with the remedy`() throws {
        let vm = Child.vm(directory("vm.sock"), listener.path, uid: 1235)
        #expect(waitReadable(listener.descriptor))
        chmod(directory("vm.sock"), 0o700)
        let outcome = try asFileSystemUser(1234) { try listener.accept(.test) }
        #expect(outcome.attachment == nil)
        #expect(outcome.refusals.map(\.reason) == [.connectBack(EACCES)])
        let text = try #require(outcome.refusals.first?.description)
        #expect(text.contains("pid \(vm.pid), uid 1235, \(directory("vm.sock"))"))
        #expect(text.contains("permission denied; run the VM and the switch as one user"))
    }

    @Test func `a client whose path has gone is refused with the usual causes`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        unlink(directory("vm.sock"))
        let outcome = try listener.accept(.test)
        #expect(outcome.refusals.map(\.reason) == [.connectBack(ENOENT)])
        #expect(outcome.refusals.first?.description.contains("PrivateTmp") == true)
        #expect(outcome.attachment == nil)
    }

    @Test func `a client that has died already is refused and the next one taken`() throws {
        let dead = Child.vm(directory("dead.sock"), listener.path)
        #expect(waitReadable(listener.descriptor))
        dead.kill()
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        let outcome = try listener.accept(.test)
        #expect(outcome.refusals.map(\.reason) == [.connectBack(ECONNREFUSED)])
        #expect(outcome.attachment?.peer.address.path == directory("vm.sock"))
    }

    @Test func `a path that leads to another socket is not followed`() throws {
        let victim = RawPeer(bound: directory("victim.sock"))
        let client = RawPeer(bound: directory("client.sock"))
        client.connect(listener.path)
        client.send(magic)
        client.send(frame(1))
        unlink(directory("client.sock"))
        symlink(directory("victim.sock"), directory("client.sock"))
        let outcome = try listener.accept(.test)
        #expect(outcome.refusals.map(\.reason) == [.pathLeadsElsewhere])
        #expect(outcome.counts == HandshakeCounts(magic: 1, foreign: 1, droppedBytes: 60))
        #expect(victim.receive() == nil)

        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        #expect(try listener.accept(.test).attachment != nil)
    }

    @Test func `names that peers chose cannot break a line of the log`() throws {
        let vm = RawPeer(bound: directory("a\nb\u{1b}[2J.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        let peer = try #require(try listener.accept(.test).attachment?.peer)
        #expect(peer.summary.contains("a\\u{a}b\\u{1b}[2J.sock"))
    }

    @Test func `the send buffer is set as asked, and what the kernel cut off is told`() throws {
        let vm = RawPeer(bound: directory("vm.sock"))
        vm.connect(listener.path)
        vm.send(magic)
        let limit = try #require(SystemText.limit("net/core/wmem_max"))
        let rules = HandshakeRules(sendBuffer: 2 * limit + 2, frameLengthMax: 1518)
        let attachment = try #require(try listener.accept(rules).attachment)
        #expect(attachment.effectiveSendBuffer == 2 * limit)
        #expect(
            attachment.warnings.contains(.sendBuffer(asked: 2 * limit + 2, effective: 2 * limit)))
        #expect(
            attachment.warnings.map(\.description).contains {
                $0.contains("sysctl -w net.core.wmem_max=\(limit + 1)")
            })
    }

    @Test func `a short backlog is told of where the peer does not connect`() throws {
        let limit = try #require(SystemText.limit("net/unix/max_dgram_qlen"))
        let expected: [UnixgramWarning] =
            limit + 1 < UnixgramWarning.queueLengthMin ? [.queueLength(frames: limit + 1)] : []
        let qemu = RawPeer(bound: directory("qemu.sock"))
        qemu.send(frame(1), to: listener.path)
        #expect(try listener.accept(.test).attachment?.warnings == expected)

        _ = try listener.listenAgain()
        let krun = RawPeer(bound: directory("krun.sock"))
        krun.connect(listener.path)
        krun.send(frame(1))
        #expect(try listener.accept(.test).attachment?.warnings == [])
    }
}

extension RawPeer {
    /// Sends on a socket that is not this object's.
    static func send(_ bytes: [UInt8], on descriptor: Int32) {
        bytes.withUnsafeBytes { bytes in
            var frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)))
            _ = cshims_socket_send_batch(descriptor, &frame, 1)
        }
    }
}

/// How many descriptors of this process are pidfds of `pid`.
private func pidfdCount(of pid: pid_t) -> Int {
    (0..<1024).count { descriptor in
        guard let file = fopen("/proc/self/fdinfo/\(descriptor)", "r") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
            if text == "Pid:\t\(pid)\n" { return true }
        }
        return false
    }
}
