// One direction of the copier, which a thread runs until the end.

import CShimsSystem
import Glibc
import Synchronization

/// What one direction works with.
///
/// `@unchecked Sendable`: made by the control thread, then used by one thread alone.
final class CopierDirection: @unchecked Sendable {
    /// Longest wait for room in the switch's queue before the connection is looked at again.
    private static let roomWaitMilliseconds: Int32 = 100

    private let frames: FrameBatch
    private let device: Int32
    private let socket: Int32
    private let counters: CopierCounters
    private let shared: CopierShared

    init(
        frames: consuming FrameBatch, device: Int32, socket: Int32, counters: CopierCounters,
        shared: CopierShared
    ) {
        self.frames = frames
        self.device = device
        self.socket = socket
        self.counters = counters
        self.shared = shared
    }

    // MARK: From the device to the switch

    /// Copies until the copier is stopped or the device is gone.
    func runUplink() {
        while !shared.isStopping.load(ordering: .relaxed) {
            let count = cshims_frames_read_device(frames.pointer, device)
            if count > 0 {
                send(count: count)
            } else if count == 0 {
                shared.wait(for: device, events: POLLIN)
            } else {
                return shared.reportFailure(code: -count)
            }
        }
    }

    private func send(count: Int32) {
        var next: Int32 = 0
        while next < count {
            let epoch = shared.state.current
            guard epoch.isJoined, !shared.isStopping.load(ordering: .relaxed) else {
                return counters.addDrops(notJoined: Int(count - next))
            }
            var bytes: UInt64 = 0
            let sent = cshims_frames_send(frames.pointer, socket, UInt32(next), &bytes)
            if sent >= 0 {
                counters.add(frames: Int(sent), bytes: bytes)
                next += sent
                continue
            }
            switch -sent {
            case EAGAIN:
                shared.wait(
                    for: socket, events: POLLOUT, milliseconds: Self.roomWaitMilliseconds)
            case ENOBUFS, ENOMEM:
                // Memory is short and no event tells when it is not; a pause, not a spin.
                shared.wait(for: -1, events: 0, milliseconds: 1)
            case EINTR:
                continue
            case EMSGSIZE:
                // Longer than the send buffer; the frame alone is at fault.
                counters.addDrops(refused: 1)
                next += 1
            default:
                // ECONNREFUSED, ENOTCONN, ECONNRESET, EPERM: there is no connection any more.
                counters.addDrops(notJoined: Int(count - next))
                return shared.reportLoss(of: epoch)
            }
        }
    }

    // MARK: From the switch to the device

    /// Copies until the copier is stopped or the device is gone.
    func runDownlink() {
        while !shared.isStopping.load(ordering: .relaxed) {
            let epoch = shared.state.current
            let count = cshims_frames_receive(frames.pointer, socket)
            if count > 0 {
                guard write() else { return }
            } else if count == 0 {
                shared.wait(for: socket, events: POLLIN)
            } else {
                // ECONNRESET, told once: the switch dissolved the connection.
                shared.reportLoss(of: epoch)
            }
        }
    }

    /// Writes the batch; false if the device is gone.
    private func write() -> Bool {
        var outcome = cshims_frames_outcome()
        let result = cshims_frames_write_device(frames.pointer, device, &outcome)
        counters.add(frames: Int(outcome.frames), bytes: outcome.bytes)
        counters.addDrops(refused: Int(outcome.refused), oversize: Int(outcome.oversize))
        if result < 0 { shared.reportFailure(code: -result) }
        return result >= 0
    }
}
