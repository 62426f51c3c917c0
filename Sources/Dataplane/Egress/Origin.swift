internal import SwitchCore

/// Where a frame on its way out comes from, as far as its egress queue asks.
struct Origin {
    /// The port by which it came in.
    var ingress: PortID
    /// It is one of several copies.
    var isFlooded: Bool
}
