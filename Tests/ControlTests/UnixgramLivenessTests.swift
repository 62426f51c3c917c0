// Noticing that a peer has gone.

import CShimsSystem
import Glibc
import Testing

@testable import Control

@Suite struct UnixgramLivenessTests {
    let directory = TemporaryDirectory()
    let listener: UnixgramListener
    var vmPath: String { directory("vm.sock") }

    init() throws {
        listener = try UnixgramListener.listen(path: directory("port.sock"), mode: 0o666)
    }

    @Test func `the end of the peer's process is told, and a probe confirms it`() throws {
        let vm = Child.vm(vmPath, listener.path)
        let peer = try #require(try listener.acceptNext().attachment?.peer)
        let process = try #require(peer.process)
        #expect(listener.probe(peer) == .alive)
        #expect(!process.hasEnded)
        vm.kill()
        #expect(waitReadable(process.descriptor))
        #expect(process.hasEnded)
        #expect(listener.probe(peer) == .dead(reason: "its socket is closed"))
        #expect(listener.probeByConnecting(peer) == .dead(reason: "nobody owns \(vmPath) any more"))
    }

    @Test func `a peer that removed its own path is alive`() throws {
        let vm = RawPeer(bound: vmPath)
        vm.connect(listener.path)
        vm.send(magic)
        let peer = try #require(try listener.accept(.test).attachment?.peer)
        unlink(vmPath)
        #expect(listener.probe(peer) == .alive)
        guard case .unknown = listener.probeByConnecting(peer) else {
            Issue.record("connect() cannot know")
            return
        }
    }

    @Test func `probing takes nothing from the queue`() throws {
        let vm = RawPeer(bound: vmPath)
        vm.connect(listener.path)
        vm.send(magic)
        let peer = try #require(try listener.accept(.test).attachment?.peer)
        vm.send(frame(1))
        #expect(listener.probe(peer) == .alive)
        #expect(listener.probeByConnecting(peer) == .alive)
        #expect(received(listener.descriptor) == frame(1))
        #expect(vm.receive() == nil)
    }

    @Test func `a launcher may end while its child keeps the socket`() throws {
        let script = """
            use Socket;
            my ($own, $switch) = @ARGV;
            socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
            bind($s, pack_sockaddr_un($own)) or die;
            connect($s, pack_sockaddr_un($switch)) or die;
            send($s, "VFKT", 0) or die;
            exit 0 if fork;
            $| = 1; print "$$\\n"; close STDOUT; close STDERR;
            recv($s, my $frame, 65536, 0);
            """
        let launcher = Child(["perl", "-e", script, vmPath, listener.path])
        let peer = try #require(try listener.acceptNext().attachment?.peer)
        #expect(waitReadable(try #require(peer.process).descriptor))
        #expect(launcher.wait() == 0)
        #expect(listener.probe(peer) == .alive)
        let text = launcher.allOutput()
        let heir = try #require(pid_t(text.split(separator: "\n").first.map(String.init) ?? ""))
        // The heir ends by itself on its first frame; its pidfd tells when.
        let watch = ProcessHandle(adopting: cshims_pidfd_open(heir))
        RawPeer.send(frame(1), on: listener.descriptor)
        #expect(waitReadable(watch.descriptor))
        #expect(listener.probe(peer) != .alive)
    }

    @Test func `a failed send dissolves the connection, and the probe says so`() throws {
        var vm: RawPeer? = RawPeer(bound: vmPath)
        vm?.connect(listener.path)
        vm?.send(magic)
        let peer = try #require(try listener.accept(.test).attachment?.peer)
        vm = nil
        RawPeer.send(frame(1), on: listener.descriptor)
        #expect(listener.probe(peer) == .dead(reason: "a send was refused: its socket is closed"))
    }

    @Test func `a VM that starts again on its path is taken back`() throws {
        let first = Child.vm(vmPath, listener.path)
        let before = try #require(try listener.acceptNext().attachment?.peer)
        first.kill()
        let early = RawPeer(bound: vmPath)
        // Not noticed yet: the kernel refuses the successor.
        #expect(early.connect(listener.path) == EPERM)
        #expect(listener.probe(before) == .dead(reason: "its socket is closed"))
        #expect(try listener.listenAgain() == UnixgramListener.Leftover())

        let second = Child.vm(vmPath, listener.path, frames: 2)
        let outcome = try listener.acceptNext()
        #expect(outcome.attachment?.peer.pid == second.pid)
        #expect(outcome.attachment?.peer.address == before.address)
        #expect(outcome.counts.magic == 1)
    }

    @Test func `a successor on the same path is not mistaken for the peer`() throws {
        let first = Child.vm(vmPath, listener.path)
        let before = try #require(try listener.acceptNext().attachment?.peer)
        first.kill()
        let second = RawPeer(bound: vmPath)
        #expect(listener.probe(before) == .dead(reason: "its socket is closed"))
        RawPeer.send(frame(1), on: listener.descriptor)
        #expect(second.receive() == nil)
    }

    @Test func `listening again lets the next peer in, and tells what the old one left`() throws {
        let vm = RawPeer(bound: vmPath)
        vm.connect(listener.path)
        vm.send(magic)
        #expect(try listener.accept(.test).attachment != nil)
        for number in 1...20 { vm.send(frame(UInt8(number))) }
        #expect(try listener.listenAgain() == UnixgramListener.Leftover(frames: 20, bytes: 1200))
        // Nothing was thrown away unseen, so not even the old peer notices.
        #expect(vm.send(frame(21)) == 0)
        let attachment = try #require(try listener.accept(.test).attachment)
        #expect(attachment.peer.pid == getpid())
        #expect(attachment.frames == [frame(21)])
    }
}
