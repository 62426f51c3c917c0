internal import CShimsSystem

// A frame on its way out, in one piece or in two: bytes that lie in a receive buffer or a queue,
// and before them, for a segment, headers that were made for it.
extension cshims_gather {
    /// A frame in one piece.
    init(_ address: UnsafeRawPointer, length: Int) {
        self.init(
            head: cshims_slice(address: nil, length: 0),
            body: cshims_slice(address: address, length: UInt64(truncatingIfNeeded: length)))
    }

    /// Bytes of both pieces.
    var length: Int { Int(truncatingIfNeeded: head.length &+ body.length) }

    /// Copies both pieces, one behind the other.
    func copy(to target: UnsafeMutableRawPointer) {
        let headLength = Int(truncatingIfNeeded: head.length)
        if let address = head.address {
            target.copyMemory(from: address, byteCount: headLength)
        }
        if let address = body.address {
            (target + headLength).copyMemory(
                from: address, byteCount: Int(truncatingIfNeeded: body.length))
        }
    }
}
