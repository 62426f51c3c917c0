// What a descriptor from another process may be, and what is to be known of it before the data
// plane gets it. A new sort of port that takes passed descriptors is one entry in the table.

internal import CShimsSystem
internal import Dataplane
internal import Glibc
internal import SwitchCore

/// A sort of descriptor that a port can be attached to.
struct DescriptorKind: Sendable {
    /// The type of port that it is for.
    let type: PortType
    /// How its frames travel.
    let transport: TransportKind
    /// Whether a descriptor is of this sort, whatever may be wrong with it otherwise.
    let fits: @Sendable (cshims_descriptor_facts) -> Bool
    /// Why a descriptor of this sort cannot be used for such a port; `nil` where it can.
    let objection: @Sendable (cshims_descriptor_facts, PortConfiguration) -> String?

    /// Every sort that there is.
    static let all = [unixgram, stream, seqpacket, tap]

    private static let unixgram = socket(.unixgram, .unixgram, SOCK_DGRAM, "datagram")
    private static let stream = socket(.stream, .stream, SOCK_STREAM, "stream")
    private static let seqpacket = socket(.seqpacket, .seqpacket, SOCK_SEQPACKET, "seqpacket")

    private static func socket(
        _ port: PortType, _ transport: TransportKind, _ type: __socket_type, _ word: String
    ) -> DescriptorKind {
        let number = Int32(type.rawValue)
        return DescriptorKind(
            type: port, transport: transport,
            fits: { $0.is_socket && $0.domain == AF_UNIX && $0.type == number },
            objection: { facts, _ in
                facts.is_connected
                    ? nil : "a \(word) socket without a peer: pass one end of a socketpair(2)"
            })
    }

    private static let tap = DescriptorKind(
        type: .tap, transport: .tap,
        fits: { $0.is_tun },
        objection: { facts, port in
            if !facts.is_tap { return "a tun device, which carries no Ethernet frames" }
            if facts.has_packet_information {
                return "a TAP device with packet information: open it with IFF_NO_PI"
            }
            guard facts.has_virtio_header != port.offload.hasHeader else { return nil }
            return facts.has_virtio_header
                ? "a TAP device with a virtio header (IFF_VNET_HDR), for which the port needs "
                    + "offload = \"vnet\""
                : "a TAP device without a virtio header (IFF_VNET_HDR), for which the port needs "
                    + "offload = \"none\""
        })

    /// The sort of port that a descriptor is for; `nil` where there is none.
    static func of(_ descriptor: Int32) -> DescriptorKind? {
        guard let facts = facts(of: descriptor) else { return nil }
        return all.first { $0.fits(facts) }
    }

    /// The sort of a port's descriptors.
    static func of(_ type: PortType) -> DescriptorKind? { all.first { $0.type == type } }

    /// What a descriptor is in words, for refusals: "a TCP or UDP socket".
    static func words(for descriptor: Int32) -> String {
        guard let facts = facts(of: descriptor) else { return "not open" }
        if facts.is_tap { return "a TAP device" }
        if facts.is_tun { return "a tun device" }
        guard facts.is_socket else { return "neither a socket nor a TAP device" }
        guard facts.domain == AF_UNIX else { return "a socket that is no UNIX socket" }
        let sort =
            switch facts.type {
            case Int32(SOCK_DGRAM.rawValue): "datagram"
            case Int32(SOCK_STREAM.rawValue): "stream"
            case Int32(SOCK_SEQPACKET.rawValue): "seqpacket"
            default: "unknown"
            }
        return "a UNIX \(sort) socket" + (facts.is_listening ? " that listens" : "")
    }

    /// What is to be known of a descriptor of this sort, for a port.
    /// - Throws: why the port cannot use it.
    func examine(
        _ descriptor: Int32, for port: PortConfiguration
    ) throws(PortError) -> cshims_descriptor_facts {
        guard let facts = Self.facts(of: descriptor), fits(facts) else {
            throw .refused(
                "the descriptor is \(Self.words(for: descriptor)), and a \(type.rawValue) port "
                    + "takes \(Self.wanted(type))")
        }
        if let objection = objection(facts, port) {
            throw .refused("the descriptor is \(objection)")
        }
        return facts
    }

    private static func wanted(_ type: PortType) -> String {
        switch type {
        case .unixgram: "a connected UNIX datagram socket"
        case .stream: "a connected UNIX stream socket"
        case .seqpacket: "a connected UNIX seqpacket socket"
        case .vpnkit: "none"
        case .tap: "a TAP device"
        }
    }

    static func facts(of descriptor: Int32) -> cshims_descriptor_facts? {
        var facts = cshims_descriptor_facts()
        return cshims_descriptor_inspect(descriptor, &facts) >= 0 ? facts : nil
    }
}

extension cshims_descriptor_facts {
    /// Name of a device.
    var deviceName: String {
        withUnsafeBytes(of: device) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
