// Keeping what waits for a peer here and not in the kernel.

internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Looks how much waits in a port's socket, and bounds it anew where that follows.
    /// - Returns: bytes, as the kernel charges them.
    mutating func lookIntoSocket(_ connection: UnsafeMutablePointer<Connection>) -> Int {
        let outstanding = backend.outstanding(descriptor: connection.pointee.descriptor)
        let hasChanged = connection.pointee.sendBuffer.note(
            outstanding: outstanding, taken: connection.pointee.chargedBytes &- outstanding,
            isQueueWaiting: !connection.pointee.queue.isEmpty, now: now)
        if hasChanged { setSendBuffer(connection) }
        return outstanding
    }

    /// Bytes that a port's socket takes now; much for a device.
    mutating func roomInSocket(_ connection: UnsafeMutablePointer<Connection>) -> Int {
        guard connection.pointee.sendBuffer.isBounded else { return .max }
        let outstanding = lookIntoSocket(connection)
        return connection.pointee.sendBuffer.bytes &- outstanding
    }

    /// Lets as much wait in a port's socket as Control says, from which on it is found out anew.
    mutating func boundSocket(
        of connection: UnsafeMutablePointer<Connection>, to bytes: Int
    ) {
        connection.pointee.sendBuffer = SendBufferLimit(
            least: connection.pointee.sendBufferLeast, most: bytes)
        // How full the socket is, is asked before the next frame goes.
        connection.pointee.credit = 0
        setSendBuffer(connection)
    }

    private mutating func setSendBuffer(_ connection: UnsafeMutablePointer<Connection>) {
        let bytes = connection.pointee.sendBuffer.bytes
        backend.setSendBuffer(descriptor: connection.pointee.descriptor, bytes: bytes)
        connection.pointee.counters.set(.sendBufferBytes, to: UInt64(truncatingIfNeeded: bytes))
    }
}
