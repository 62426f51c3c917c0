/// One received frame of a batch: where it lies, how long it is, and how it came in. 16 bytes.
///
/// A frame is a borrowed view: the memory belongs to the receive pool of its ingress port and is
/// given back at the end of the turn. Its virtio header lies in the 12 bytes before it, and is zero
/// where the ingress port has no offload.
@frozen
public struct Frame {
    /// The first byte of the destination address.
    public var address: UnsafeRawPointer
    /// Bytes the peer sent, never negative. May exceed what the buffer holds of an oversize frame;
    /// at least min(`length`, 18) bytes are readable at `address`.
    public var length: Int32
    /// The port by which the frame came in.
    public var ingress: PortID
    /// The receive buffer to give back.
    public var bufferID: UInt16

    /// Describes a frame; nothing is copied.
    @inlinable
    public init(address: UnsafeRawPointer, length: Int32, ingress: PortID, bufferID: UInt16) {
        self.address = address
        self.length = length
        self.ingress = ingress
        self.bufferID = bufferID
    }
}
