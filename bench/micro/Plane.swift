// The whole turn of a worker, for `micro FRAMES plane`: a data plane over real rings and socket
// pairs, two ports that send to each other in bursts. Sending and receiving is this thread's work;
// what the worker's thread does is what is measured.

import Dataplane
import Glibc
import Support
import SwitchCore

/// Forwards `frameCount` frames through a data plane, and returns a checksum of what it counted.
func runPlane(frameCount: Int) throws -> UInt64 {
    let burst = 32
    let plane = try DataPlane(DataPlaneSettings(portCapacity: 4, macLimit: 1024), seed: 1)
    var pairs: [[Int32]] = []
    for port in 0..<2 {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        precondition(socketpair(AF_UNIX, type, 0, &pair) == 0)
        pairs.append(pair)
        try plane.attach(
            ConnectionSettings(
                port: PortID(index: port), transport: .unixgram, descriptor: pair[0],
                frameLengthMax: 1518, queueBytes: 1 << 20, queueDelayNanoseconds: 1_000_000_000))
    }
    let frames = (0..<2).map {
        FrameBuilder(destination: station(1 - $0), source: station($0), length: 1514).bytes
    }
    var buffer = [UInt8](repeating: 0, count: 2048)
    var left = frameCount
    while left > 0 {
        for port in 0..<2 {
            for _ in 0..<burst {
                precondition(send(pairs[port][1], frames[port], 1514, 0) == 1514)
            }
        }
        for port in 0..<2 {
            for _ in 0..<burst {
                var poll = pollfd(fd: pairs[port][1], events: Int16(POLLIN), revents: 0)
                precondition(Glibc.poll(&poll, 1, 10_000) == 1, "a frame was lost")
                precondition(recv(pairs[port][1], &buffer, 2048, 0) == 1514)
            }
        }
        left -= 2 * burst
    }
    for port in 0..<2 { plane.detach(port: PortID(index: port)) }
    var retired = 0
    while plane.drainEvents({ if $0.kind == .retired { retired += 1 } }) || retired < 2 {
        sched_yield()
    }
    let sum = plane.counters.snapshot()
    precondition(sum.isBalanced && sum.dropped == 0)
    plane.stop()
    for pair in pairs { for descriptor in pair { close(descriptor) } }
    return sum[.sentFrames] &* 31 &+ sum[.sentBytes]
}
