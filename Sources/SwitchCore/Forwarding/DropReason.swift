/// Why a frame was not sent: the closed list. Every lost frame is counted under exactly one of
/// these, at exactly one port.
public enum DropReason: Int, CaseIterable, Sendable {
    case runt
    case oversize
    case invalidOffload
    case invalidSource
    case reservedAddress
    case filtered
    case noEligiblePort
    case stormLimited
    case portRemoved
    case foreign
    case noPeer
    case tooBig
    case queueFull
    case queueExpired
    case codel
    case floodLimited
    case overtaken
    case handoverFull
    case deviceDown
    case sendFailed

    /// The word of a `CounterBlock` that counts the drops: behind those of all `Counter` cases.
    @inlinable
    var word: Int { @_noLocks get { 24 &+ rawValue } }

    /// The number in a `Verdict`.
    @inlinable
    var code: UInt32 { @_noLocks get { UInt32(truncatingIfNeeded: rawValue) } }

    /// The reason with this number, or `nil`.
    @inlinable
    @_noLocks
    init?(code: UInt32) {
        self.init(rawValue: Int(code))
    }

    /// The name in configuration, status and metrics: snake_case.
    public var name: String { entry.name }

    /// One sentence for people.
    public var summary: String { entry.summary }

    /// True if the drop is charged to the port by which the frame came in, false if to the port by
    /// which it should have gone out.
    public var isIngress: Bool { entry.isIngress }

    /// The reason with this snake_case name, or `nil`.
    public init?(name: String) {
        guard let reason = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = reason
    }

    private typealias Entry = (name: String, isIngress: Bool, summary: String)

    /// The list itself; the compiler refuses a case without its line.
    private var entry: Entry {
        switch self {
        case .runt:
            ("runt", true, "The frame was shorter than its Ethernet header.")
        case .oversize:
            ("oversize", true, "The frame was longer than the ingress port's max_frame.")
        case .invalidOffload:
            ("invalid_offload", true, "The frame's virtio header did not fit the frame.")
        case .invalidSource:
            ("invalid_source", true, "The source address was a group address or zero.")
        case .reservedAddress:
            ("reserved_address", true, "The destination is one that bridges never relay.")
        case .filtered:
            ("filtered", true, "The destination is behind the port by which the frame came in.")
        case .noEligiblePort:
            ("no_eligible_port", true, "There was no other attached port to flood the frame to.")
        case .stormLimited:
            ("storm_limited", true, "The port had more frames to flood than its flood_rate allows.")
        case .portRemoved:
            ("port_removed", true, "The frame came in by a port that was being removed.")
        case .foreign:
            ("foreign", true, "The datagram came from a socket that is not the port's peer.")
        case .noPeer:
            ("no_peer", false, "The egress port had lost its peer.")
        case .tooBig:
            ("too_big", false, "The frame was longer than the egress port's max_frame.")
        case .queueFull:
            ("queue_full", false, "The egress queue had no room.")
        case .queueExpired:
            ("queue_expired", false, "The frame had waited in the egress queue for too long.")
        case .codel:
            (
                "codel", false,
                "The frame's flow had waited for longer than queue_target for a while."
            )
        case .floodLimited:
            ("flood_limited", false, "The flooded copy met an egress queue that was half full.")
        case .overtaken:
            ("overtaken", false, "Later frames of its batch had been accepted already.")
        case .handoverFull:
            ("handover_full", true, "The ring to the egress port's worker had no room.")
        case .deviceDown:
            ("device_down", false, "The egress device was down.")
        case .sendFailed:
            ("send_failed", false, "The kernel refused the frame for another reason.")
        }
    }
}
