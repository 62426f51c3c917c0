// The socket shims against the kernel.

import CShimsSystem
import Glibc
import Testing

@testable import Control

@Suite struct UnixgramShimTests {
    let directory = TemporaryDirectory()

    @Test func `a batch stops at the first refusal and tells how many went`() {
        let receiver = RawPeer(bound: directory("receiver.sock"))
        let sender = RawPeer(bound: directory("sender.sock"))
        #expect(sender.connect(directory("receiver.sock")) == 0)
        #expect(receiver.connect(directory("sender.sock")) == 0)
        let bytes = frame(1, length: 1514)
        bytes.withUnsafeBytes { bytes in
            let frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)))
            // Far more than a send buffer holds, and more than one chunk of the shim.
            let frames = [cshims_gather](repeating: frame, count: 10_000)
            let size = cshims_socket_send_buffer(sender.descriptor)
            let sent = cshims_socket_send_batch(sender.descriptor, frames, 10_000)
            // One frame more fits than there is room for.
            let outstanding = Int64(cshims_socket_outstanding(sender.descriptor))
            #expect((size...size + 4096).contains(outstanding))
            #expect(sent > 64 && sent < 10_000)
            // 2304 bytes are charged for a frame of 1514 (measured on Linux 6.18).
            #expect(cshims_socket_outstanding(sender.descriptor) >= sent * 1514)
            #expect(cshims_socket_send_batch(sender.descriptor, frames, 1) == -EAGAIN)
            var count: Int32 = 0
            while receiver.receive() != nil { count += 1 }
            #expect(count == sent)
        }
    }

    @Test func `a datagram longer than the buffer tells its own length`() {
        let receiver = RawPeer(bound: directory("receiver.sock"))
        let sender = RawPeer(bound: directory("sender.sock"))
        #expect(sender.send(frame(1, length: 3000), to: directory("receiver.sock")) == 0)
        var bytes = [UInt8](repeating: 0, count: 100)
        var datagram = cshims_datagram()
        #expect(cshims_socket_receive(receiver.descriptor, &bytes, 100, &datagram) == 100)
        #expect(datagram.length == 3000)
        #expect(!datagram.has_credentials && datagram.pidfd == -1)
        #expect(UnixgramAddress(datagram.source).path == directory("sender.sock"))
    }

    @Test func `descriptors that a peer sends along are closed`() throws {
        let receiver = RawPeer(bound: directory("receiver.sock"))
        let sender = RawPeer(bound: directory("sender.sock"))
        #expect(sender.connect(directory("receiver.sock")) == 0)
        let pair = closeOnExecPair()
        #expect(sender.send(frame(1), passing: pair[1]) == 60)
        close(pair[1])
        #expect(receiver.receive() == frame(1))
        // The end of the stream says that no copy of its other side is open.
        #expect(cshims_descriptor_poll(pair[0], 0, 30_000) == Int32(POLLHUP))
        close(pair[0])
    }

    @Test func `an address of the longest path survives the way back`() {
        let room = 107 - directory.path.utf8.count - 1
        let path = directory(String(repeating: "x", count: room))
        let receiver = RawPeer(bound: directory("receiver.sock"))
        let sender = RawPeer(bound: path)
        #expect(sender.send(frame(1), to: directory("receiver.sock")) == 0)
        var bytes = [UInt8](repeating: 0, count: 100)
        var datagram = cshims_datagram()
        #expect(cshims_socket_receive(receiver.descriptor, &bytes, 100, &datagram) == 60)
        var address = UnixgramAddress(datagram.source).systemAddress
        #expect(cshims_socket_connect(receiver.descriptor, &address) == 0)
    }

    @Test func `an eventfd is signalled and drained`() {
        let event = cshims_eventfd_create()
        defer { _ = cshims_descriptor_close(event) }
        #expect(cshims_eventfd_drain(event) == 0)
        #expect(cshims_eventfd_signal(event) == 0)
        #expect(cshims_eventfd_signal(event) == 0)
        #expect(cshims_descriptor_poll(event, Int16(POLLIN), 0) == Int32(POLLIN))
        #expect(cshims_eventfd_drain(event) == 1)
        #expect(cshims_eventfd_drain(event) == 0)
    }

    @Test func `a file is locked by one descriptor at a time`() {
        let first = open(directory("lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        let second = open(directory("lock"), O_RDWR | O_CLOEXEC)
        #expect(cshims_file_lock(first) == 0)
        #expect(cshims_file_lock(second) == -EWOULDBLOCK)
        close(first)
        // A process that another test starts has a copy until it executes its program.
        let end = ContinuousClock.now + .seconds(30)
        var result: Int32
        repeat {
            result = cshims_file_lock(second)
        } while result == -EWOULDBLOCK && ContinuousClock.now < end
        #expect(result == 0)
        close(second)
    }

    @Test func `an affinity to no CPU is refused`() {
        #expect(cshims_thread_set_affinity([-1], 1) == -EINVAL)
        #expect(cshims_thread_set_affinity([1 << 20], 1) == -EINVAL)
        #expect(cshims_thread_set_affinity([], 0) == -EINVAL)
    }
}

extension RawPeer {
    /// Sends on the connection with a descriptor (SCM_RIGHTS); the result of sendmsg().
    fileprivate func send(_ bytes: [UInt8], passing passed: Int32) -> Int {
        // struct cmsghdr on a 64-bit machine: length (8 bytes), level, type (4 each), then the
        // data.
        var control: [UInt64] = [20, UInt64(SOL_SOCKET) | UInt64(1) << 32, UInt64(passed)]
        var payload = bytes
        return payload.withUnsafeMutableBytes { payload in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var message = msghdr()
                    message.msg_iov = vector
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    return sendmsg(descriptor, &message, 0)
                }
            }
        }
    }
}
