// What the data plane is told of the words of a port.

internal import Dataplane
internal import SwitchCore

extension PortConfiguration {
    /// The order of the egress queue.
    var queueDiscipline: QueueDiscipline {
        switch queue {
        case .fifo: .fifo
        case .fair: .fair(target: UInt64(queueTargetNanoseconds))
        }
    }

    /// What can change while a peer is attached; `sendBuffer` where the kernel has granted another.
    func liveSettings(sendBuffer: Int? = nil) -> LiveSettings {
        LiveSettings(
            sendBuffer: sendBuffer, queueBytes: queueBytes, queueDiscipline: queueDiscipline,
            queueDelayNanoseconds: UInt64(queueDelayNanoseconds),
            floodRate: FloodRate(framesPerSecond: floodRate))
    }

    /// Whether the peer waits while its frames do.
    var pausesOnCongestion: Bool {
        switch kind {
        case .unixgram(let socket): socket.onCongestion == .pause
        case .stream(let stream): stream.onCongestion == .pause
        case .tap: false
        case .passed(let passed): passed.onCongestion == .pause
        }
    }
}

extension PortConfiguration {
    /// Changes the paths of the port's sockets.
    mutating func movePaths(_ move: (String) -> String) {
        switch kind {
        case .unixgram(var socket):
            socket.path = move(socket.path)
            socket.connect = socket.connect.map(move)
            kind = .unixgram(socket)
        case .stream(var stream):
            stream.path = move(stream.path)
            kind = .stream(stream)
        case .tap, .passed: break
        }
    }
}
