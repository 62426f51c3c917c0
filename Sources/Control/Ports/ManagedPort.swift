internal import Dataplane
internal import Glibc
internal import SwitchCore

/// A configured port and whatever is attached to it.
@ControlActor
protocol ManagedPort: AnyObject, Sendable {
    var configuration: PortConfiguration { get }
    /// Index of the port in the data plane.
    var id: PortID { get }
    /// Acquires socket or device and starts to work.
    func open() throws(PortError)
    /// Takes an event of the port's connection.
    func handle(_ event: DataPlaneEvent)
    /// Looks after the port, about every two seconds: peers that cannot be watched, failures to be
    /// mended.
    func tend()
    /// Takes over settings that differ only in keys which change live; all of them or none.
    func adapt(to next: PortConfiguration) throws(PortError)
    /// Takes no peer and mends nothing until `resume`, while the data plane is at rest.
    func suspend()
    /// Goes on after `suspend`.
    func resume()
    /// Adds what a successor needs to know to the port's state, and what it needs to have.
    func describe(into state: inout SwitchState.PortState, _ kept: inout [KeptDescriptor])
    /// Takes over sockets that other ports may need as well; before any port is restored.
    func adoptSockets(_ state: SwitchState.PortState, _ descriptors: inout StateDescriptors)
    /// Takes over what a predecessor has left, in place of `open`; what cannot be used is as if it
    /// had failed, and is mended when the port is tended.
    func restore(_ estate: PortEstate, _ descriptors: inout StateDescriptors)
    /// Whether a peer is attached, or the device is up.
    var isServing: Bool { get }
    /// Whether a peer or device is just coming to the data plane, or leaving it.
    var isInTransit: Bool { get }
    /// Lets go of everything; returns when the data plane has let go too. May be called again
    /// meanwhile.
    func close() async
    /// The part of the port's status that only the port knows.
    func describe(into status: inout PortStatus)
    /// Sentences about limits of this machine that hold the port back, each with its remedy.
    var warnings: [String] { get }
}

extension ManagedPort {
    func adoptSockets(_ state: SwitchState.PortState, _ descriptors: inout StateDescriptors) {}
}

/// A descriptor of a port that a successor needs, borrowed.
struct KeptDescriptor {
    /// Name among all that the switch has.
    let name: String
    let number: Int32
    /// Keeps it open.
    let owner: AnyObject
}

/// What ports need of the switch that they belong to.
@ControlActor
protocol PortHost: AnyObject {
    /// The sockets that ports listen on for connections.
    var streamListeners: StreamListeners { get }
    /// Attaches a peer to a port.
    func attach(_ settings: ConnectionSettings) throws(PortError) -> UInt32
    /// Begins to detach; `DataPlaneEvent.retired` follows.
    func detach(_ port: PortID)
    /// Changes the connection of a port, where it has one.
    func change(_ port: PortID, to settings: LiveSettings)
    /// Counts what happened to a port outside of the data plane.
    func count(_ port: PortID, _ counter: Counter, _ amount: UInt64)
    func count(_ port: PortID, dropped reason: DropReason, _ amount: UInt64)
    /// What a port of that name had when it was closed to be opened with other settings.
    func heirloom(of port: String) -> PassedDescriptor?
    /// Says that a port without a path has lost its peer, and can be given another one.
    func becameVacant(_ port: String)
    /// What a successor would need has changed.
    func stateChanged()
    /// Whether nothing moves, so that all that can be known is known.
    var isAtRest: Bool { get }
    /// Tells those who follow the switch's events.
    func tell(_ event: SwitchEvent)
    /// Writes one line to the log.
    func log(_ level: PortLogLevel, _ message: String, port: String)
}

/// How much a line of a port matters.
enum PortLogLevel { case info, warning, error }

/// What the ring says when it does not take a port's descriptor, with the remedy where there is
/// one.
func ringRefusal(_ errno: Int32, of subject: String) -> String {
    guard errno == ENOMEM else { return "the ring refused \(subject): \(SystemText.reason(errno))" }
    return
        "the ring refused \(subject): out of memory, or of locked memory (RLIMIT_MEMLOCK): "
        + "raise it with `ulimit -l`, or LimitMEMLOCK= in a systemd unit"
}
