// Frames of devices, by read(2).
//
// A device gives one frame a call, whoever makes the call. Let the ring make it (a multishot read)
// and every frame that arrives wakes the ring's request, also those that the batch at hand would
// have found anyway. So the ring is only asked to say when there is something, once, and only of
// devices that were read empty. Streams (Worker+Stream) are read in the same way.

internal import IORing
internal import SwitchCore

extension Worker where Backend: ~Copyable {
    /// Not while receives are held: `followHold` lists again what has something then.
    mutating func listReadable(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.state == .active, !connection.pointee.isListedReadable,
            hold == .none
        else { return }
        connection.pointee.isListedReadable = true
        readable.append(connection)
    }

    /// Adds a batch of every device that may have frames; those read empty leave the list.
    mutating func readDevices() {
        var position = 0
        while position < readable.count {
            let connection = readable[position]
            // Each has its part of the room that is left, so that none is crowded out.
            let room = (frames.count &- frameCount) / (readable.count &- position)
            if mayHaveMore(afterReading: connection, upTo: room) {
                position += 1
            } else {
                connection.pointee.isListedReadable = false
                readable.remove(at: position)
            }
        }
    }

    private mutating func mayHaveMore(
        afterReading connection: UnsafeMutablePointer<Connection>, upTo room: Int
    ) -> Bool {
        guard connection.pointee.state == .active else { return false }
        if let stream = connection.pointee.stream {
            return mayHaveMore(afterReading: stream, of: connection, upTo: room)
        }
        let limit = min(connection.pointee.buffers.count, room)
        let prefix = connection.pointee.prefix
        let count = backend.readBatch(
            descriptor: connection.pointee.descriptor,
            into: connection.pointee.buffers.address(of: 0) - prefix,
            stride: connection.pointee.buffers.stride,
            capacity: connection.pointee.buffers.bufferLength + prefix,
            lengths: UnsafeMutableBufferPointer(rebasing: readLengths[..<limit]))
        for index in 0..<max(0, count) {
            append(
                connection.pointee.buffers.address(of: UInt16(index)),
                length: Int(readLengths[index]) - prefix, connection, buffer: Self.noBuffer)
        }
        if count == limit { return true }
        if count < 0 { receiveFailed(Int32(count), connection) }
        listForArming(connection)
        return false
    }

    /// Asks for word of the devices that were read empty. Sockets are armed at the end of the turn,
    /// when their buffers are back.
    mutating func askDevices() {
        var position = 0
        while position < arming.count {
            let connection = arming[position]
            if connection.pointee.transport.isPolled, armReceive(connection) {
                connection.pointee.isListedForArming = false
                arming.remove(at: position)
            } else {
                position += 1
            }
        }
    }
}
