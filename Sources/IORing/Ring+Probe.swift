// Whether this system can do what ringswitch needs, asked of the kernel and not of its version
// number.
//
// The probe makes a small ring the way a worker does, enables it, asks for the opcodes and
// registers a buffer ring. What fails is named; the newest need is DEFER_TASKRUN, so that Linux 6.1
// has everything.

internal import CShimsRing
internal import Glibc

extension Ring {
    /// Tries on the calling thread everything that a worker's ring needs, and leaves nothing
    /// behind.
    /// - Throws: `RingError` that names the first thing missing, and the remedy.
    public static func probe() throws(RingError) {
        try probeSetup()
        var ring = try Ring(submissionEntries: 4, completionEntries: 8, fileSlots: 1)
        try ring.enable()
        for need in neededOperations where cshims_ring_supports(ring.handle, need.opcode) != 1 {
            throw .featureMissing(
                need.name, since: need.since, release: SystemFacts.read().release)
        }
        var buffers = try BufferRing(group: 0, count: 1, bufferLength: 64)
        do throws(RingError) {
            try buffers.register(with: &ring)
        } catch {
            guard case .systemCall(_, EINVAL) = error else { throw error }
            throw .featureMissing(
                "provided-buffer rings", since: "5.19", release: SystemFacts.read().release)
        }
        try buffers.unregister(from: &ring)
    }

    /// Sets rings up with one flag more each time; the first that the kernel does not know is
    /// named.
    private static func probeSetup() throws(RingError) {
        var flags: UInt32 = 0
        for need in neededSetup {
            flags |= need.flag
            let status = cshims_ring_try(flags)
            if status == -EINVAL && need.flag != 0 {
                throw .featureMissing(
                    need.name, since: need.since, release: SystemFacts.read().release)
            }
            guard status == 0 else {
                throw RingError.setupRefused(status: status, on: SystemFacts.read())
            }
        }
    }

    private static var neededSetup: [(flag: UInt32, name: String, since: String)] {
        [
            (0, "io_uring", "5.1"),
            (IORING_SETUP_SUBMIT_ALL, "IORING_SETUP_SUBMIT_ALL", "5.18"),
            (IORING_SETUP_SINGLE_ISSUER, "IORING_SETUP_SINGLE_ISSUER", "6.0"),
            (IORING_SETUP_DEFER_TASKRUN, "IORING_SETUP_DEFER_TASKRUN", "6.1"),
        ]
    }

    private static var neededOperations: [(opcode: UInt8, name: String, since: String)] {
        [
            (UInt8(IORING_OP_SEND.rawValue), "IORING_OP_SEND", "5.6"),
            (UInt8(IORING_OP_RECV.rawValue), "IORING_OP_RECV", "5.6"),
            (UInt8(IORING_OP_WRITE.rawValue), "IORING_OP_WRITE", "5.6"),
            (UInt8(IORING_OP_POLL_ADD.rawValue), "IORING_OP_POLL_ADD", "5.1"),
            (UInt8(IORING_OP_ASYNC_CANCEL.rawValue), "IORING_OP_ASYNC_CANCEL", "5.5"),
        ]
    }
}
