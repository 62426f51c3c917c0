// Joins a port of the switch exactly as libkrun does (src/devices/src/virtio/net/unixgram.rs): bind
// a path of our own, connect to the port's path, send "VFKT", ask for an SO_SNDBUF of 7 MiB; then
// every datagram is one frame. Unlike libkrun it joins again when the switch has gone and come
// back.
//
// A datagram socket hears nothing of its peer's death (kernel: unix_release_sock wakes streams
// only). It shows in three ways: a send fails (the copier reports it); connect() to the same path,
// which changes nothing while the peer lives, is refused; or the path belongs to another file,
// because a new switch has bound it. So while joined the path is probed once a second, and while
// not, connect() is tried again after 100 ms, doubling up to 1 s. The socket, and with it our own
// path, stays.
//
// ENOENT while joined proves nothing (somebody removed the name of a living socket); then the sends
// or the path's return decide.

import CShimsSystem
import Glibc
import Logging

/// The guest's socket and its connection to the port.
///
/// Thread safety: belongs to the control thread; the copier shares `descriptor` and `state`.
final class Joiner {
    /// Bytes asked for as SO_SNDBUF; the kernel grants at most twice net.core.wmem_max.
    static let sendBuffer: Int64 = 7 << 20
    /// The first datagram of a connection.
    static let magic: [UInt8] = Array("VFKT".utf8)
    private static let retryMilliseconds: ClosedRange<Int32> = 100...1000
    private static let probeMilliseconds: Int32 = 1000
    /// A switch without pidfds finds a dead peer by probing, within four seconds.
    private static let takenPatience = Duration.milliseconds(4500)
    private static let takenRetryMilliseconds: Int32 = 50

    /// The datagram socket; non-blocking.
    let descriptor: Int32
    let state = JoinState()
    /// Connections that were made.
    private(set) var joinCount: UInt64 = 0

    private let portPath: String
    private let directory: PrivateDirectory
    private let ownPath: String
    private let logger: Logger
    private var portFile: PortFile?
    private var retryDelay = retryMilliseconds.lowerBound
    /// Whether the log's last word was "joined", so that each change is logged once.
    private var isLoggedAsJoined = false

    /// Binds a socket of its own in a private directory.
    init(portPath: String, logger: Logger) throws(SystemFailure) {
        self.portPath = portPath
        self.logger = logger
        // Whoever owns the port must be able to connect back to us.
        directory = try PrivateDirectory(prefix: "ringswitch-attach-", sharedWithOwnerOf: portPath)
        ownPath = directory.path + "/guest.sock"
        descriptor = try SystemFailure.check(
            cshims_socket_create_unixgram(), "cannot create a UNIX datagram socket")
        do throws(SystemFailure) {
            try SystemFailure.check(
                cshims_socket_bind_path(descriptor, ownPath), "cannot bind \(ownPath)")
            directory.share(file: ownPath)
        } catch {
            _ = cshims_descriptor_close(descriptor)
            throw error
        }
        _ = cshims_socket_set_send_buffer(descriptor, Self.sendBuffer)
    }

    deinit {
        _ = cshims_descriptor_close(descriptor)
        unlink(ownPath)
    }

    /// Effective SO_SNDBUF in bytes.
    var effectiveSendBuffer: Int64 { cshims_socket_send_buffer(descriptor) }

    /// Joins for the first time, or says why not.
    ///
    /// A port that is taken is tried for a while: the switch may not have noticed yet that its
    /// former peer, perhaps the guest that is being started anew, has ended.
    func join() throws(AttachError) {
        let end = ContinuousClock.now + Self.takenPatience
        var code = connect()
        while code == EPERM, ContinuousClock.now < end {
            poll(nil, 0, Self.takenRetryMilliseconds)
            code = connect()
        }
        if code != 0 { throw .cannotJoin(path: portPath, code: code) }
        logger.info("joined", metadata: ["port": "\(portPath)"])
    }

    /// Looks after the connection: joins again, or finds out that the switch is gone.
    /// - Returns: milliseconds until it wants to be called again.
    func attend() -> Int32 {
        if state.current.isJoined {
            probe()
        } else {
            logLoss(code: ECONNREFUSED)
            if connect() == 0 {
                logger.info("joined again", metadata: ["port": "\(portPath)"])
            }
        }
        if state.current.isJoined {
            retryDelay = Self.retryMilliseconds.lowerBound
            return Self.probeMilliseconds
        }
        defer { retryDelay = min(retryDelay * 2, Self.retryMilliseconds.upperBound) }
        return retryDelay
    }

    private func probe() {
        let epoch = state.current
        let file = PortFile(path: portPath)
        if let file, file != portFile {
            let code = connect()
            if code == 0 {
                logger.info(
                    "joined again: the port's socket was replaced",
                    metadata: ["port": "\(portPath)"])
                return
            }
            // A file that nobody listens on any more, or one that is not ours to join.
            if state.end(epoch) { logLoss(code: code) }
            return
        }
        let code = -cshims_socket_connect_path(descriptor, portPath)
        if code != 0, code != ENOENT, state.end(epoch) { logLoss(code: code) }
    }

    /// Connects and sends the magic.
    /// - Returns: 0, or the errno of the step that failed.
    private func connect() -> Int32 {
        // Read before connecting: a path replaced in between is then noticed by the next probe.
        let file = PortFile(path: portPath)
        let result = cshims_socket_connect_path(descriptor, portPath)
        guard result == 0 else { return -result }
        let sent = Self.magic.withUnsafeBytes { bytes in
            var frame = cshims_gather(
                head: cshims_slice(),
                body: cshims_slice(address: bytes.baseAddress, length: UInt64(bytes.count)))
            return cshims_socket_send_batch(descriptor, &frame, 1)
        }
        guard sent == 1 else { return sent < 0 ? -sent : EAGAIN }
        portFile = file
        joinCount += 1
        isLoggedAsJoined = true
        state.begin()
        return 0
    }

    private func logLoss(code: Int32) {
        guard isLoggedAsJoined else { return }
        isLoggedAsJoined = false
        logger.warning(
            "the switch is gone; joining again as soon as it is back",
            metadata: ["port": "\(portPath)", "reason": "\(AttachError.reason(joinCode: code))"])
    }
}

/// Tells a file from another that took its name. Inode numbers are used again at once on some file
/// systems, so the time of the inode's last change belongs to it.
private struct PortFile: Equatable {
    let device: UInt64
    let inode: UInt64
    let changedSeconds: Int
    let changedNanoseconds: Int

    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        changedSeconds = status.st_ctim.tv_sec
        changedNanoseconds = status.st_ctim.tv_nsec
    }
}
