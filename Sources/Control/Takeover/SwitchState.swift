// What a switch leaves to its successor, beside the descriptors: one document, with a version.
//
// The successor is another process and may be another build, so nothing here is a word of memory:
// counters go by name, ports by name, descriptors by the names that they are passed under. Two
// programs with different versions of the document do not understand each other, and say so before
// anything is handed over.

internal import Dataplane
internal import Foundation
internal import SwitchCore

/// The state of a switch at rest.
struct SwitchState: Codable, Sendable {
    /// Grows whenever a former program could misunderstand what this one writes.
    static let version = 2

    var version = SwitchState.version
    /// Version of the program that wrote it.
    var program = Version.current
    /// What the switch runs with, as TOML; with it the ports in their order.
    var configuration: String
    var ports: [PortState]
    /// Counts that belong to none of these ports: of ports that are gone, and between workers.
    var rest: CounterState
    /// Names of ports that last as long as their peers.
    var transientPorts: [String] = []
    /// Names of the descriptors, in the order in which they are passed.
    var descriptorNames: [String] = []
    /// Counts of each worker about itself.
    var workers: [CounterState]
    /// Where the counters lie that were still counting when this was written; nil: they stood still
    /// and are in `ports` and `rest`.
    var counterLayout: CounterLayout?
    /// Name of their file.
    var counterFile: String?

    /// One port and what is attached to it.
    struct PortState: Codable, Sendable {
        var name: String
        /// Its index in the MAC table and the frames that come along.
        var index: Int
        var stage: Stage
        var since: Date
        var counters: CounterState
        /// Counters that its index had collected before the port was made.
        var baseline: CounterState?
        /// Frames that waited for the peer and did not come along.
        var omittedFrames = 0
        /// The socket on which peers come, where it is not the peer's as well; with the first of
        /// the ports that share it.
        var listener: SocketState?
        var socket: SocketState?
        var peer: PeerState?
        /// The peer shares its socket with others.
        var relayed: RelayedState?
        /// The peer was connected to.
        var link: LinkState?
        var device: DeviceState?
        /// User that has passed the port its descriptor.
        var sender: UInt32?
    }

    /// How far a port is.
    enum Stage: String, Codable, Sendable {
        /// It waits for a peer.
        case listening
        /// A peer is attached, or the device is up.
        case attached
        /// It has to be opened anew.
        case closed
    }

    /// A socket that is, or was, at a path.
    struct SocketState: Codable, Sendable {
        var file: FileIdentity
        var backlogMax = 0
        var passesProcesses = false
    }

    /// The process at the other end.
    struct PeerState: Codable, Sendable {
        var address: [UInt8]
        var pid: Int32?
        var uid: UInt32?
        var command: String?
        var usedMagic: Bool
    }

    /// What a relay knows of a peer.
    struct RelayedState: Codable, Sendable {
        /// Of the peer's socket.
        var clientInode: UInt32
        /// A frame that it did not take yet.
        var waiting: [UInt8]?
    }

    /// A socket of ours that is connected to another one's path.
    struct LinkState: Codable, Sendable {
        var file: FileIdentity
        var peerFile: FileIdentity?
    }

    /// A TAP device.
    struct DeviceState: Codable, Sendable {
        var index: UInt32
        var removesDevice: Bool
        var transmitDropped: UInt64
        var receiveDropped: UInt64
    }

    /// Counts by name, those that are not zero.
    struct CounterState: Codable, Sendable, Equatable {
        var counters: [String: UInt64] = [:]
        var drops: [String: UInt64] = [:]
    }

    /// What the words of a counter table mean.
    struct CounterLayout: Codable, Sendable, Equatable {
        var portCapacity: Int
        var workerCount: Int
        var stride: Int
        /// Names of the words of a block, by their place.
        var words: [String]
    }
}

/// The descriptors that belong to a state, by name: "vm1/socket".
struct StateDescriptors: Sendable {
    /// What the names end with.
    enum Part: String, Sendable {
        case socket, process, device, netlink, listener, pair, relay
    }

    /// Borrowed from the ports while a state is written, owned by whoever took them over.
    var numbers: [String: PassedDescriptor] = [:]

    static func name(_ part: Part, of port: String) -> String { "\(port)/\(part.rawValue)" }

    /// Takes a descriptor out; the caller closes it. nil: there is none.
    mutating func take(_ part: Part, of port: String) -> Int32? {
        guard let descriptor = numbers.removeValue(forKey: Self.name(part, of: port)) else {
            return nil
        }
        let number = descriptor.take()
        return number >= 0 ? number : nil
    }
}

/// A station and where it was seen.
struct StationRecord: Equatable, Sendable {
    var address: MACAddress
    var vlan: UInt16
    /// Index of the port at the switch that wrote it.
    var portIndex: UInt16
    var ageTicks: UInt32
}

/// A frame that waits for a port.
struct FrameRecord: Equatable, Sendable {
    /// Indices at the switch that wrote it.
    var egressIndex: UInt16
    var ingressIndex: UInt16
    var time: UInt64
    var bytes: [UInt8]
}

/// Where the stream of a port stands.
struct StreamRecord: Equatable, Sendable {
    /// Index of the port at the switch that wrote it.
    var portIndex: UInt16
    var position: StreamPosition
}

/// A state with what is too much for JSON.
struct FullState: Sendable {
    var state: SwitchState
    var stations: [StationRecord] = []
    var frames: [FrameRecord] = []
    var streams: [StreamRecord] = []
}
