import CShimsSystem
import Glibc
import Logging
import Testing

@testable import Control

/// The data path of `attach`, with a socket pair in the place of the TAP device.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AttachCopierTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let port: PlayedPort
    private let device: PlayedDevice
    private let joiner: Joiner
    private let copier: FrameCopier

    init() throws {
        directory = TemporaryDirectory()
        path = directory.path + "/port.sock"
        port = try PlayedPort(path: path)
        device = try PlayedDevice()
        joiner = try Joiner(
            portPath: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        copier = try FrameCopier(
            device: device.near, socket: joiner.descriptor, state: joiner.state,
            shape: .whole(mtu: 1500))
    }

    @Test func `frames pass both ways, whole and in order`() throws {
        try joiner.join()
        #expect(port.receive() != nil)
        try copier.start()
        for number in 0..<1000 {
            let length = 60 + number % 1459
            #expect(device.send(numberedFrame(number, length: length)))
            #expect(port.receive() == numberedFrame(number, length: length))
            #expect(port.send(numberedFrame(-number, length: length)))
            #expect(device.receive() == numberedFrame(-number, length: length))
        }
        copier.stop()
        #expect(copier.uplinkCounters.snapshot.frames == 1000)
        #expect(copier.downlinkCounters.snapshot.frames == 1000)
        #expect(copier.uplinkCounters.snapshot.bytes == copier.downlinkCounters.snapshot.bytes)
        #expect(copier.uplinkCounters.snapshot.dropped == 0)
        #expect(copier.downlinkCounters.snapshot.dropped == 0)
    }

    @Test func `a switch that reads late makes the device wait and loses nothing`() throws {
        _ = cshims_socket_set_send_buffer(joiner.descriptor, 64 << 10)
        try joiner.join()
        #expect(port.receive() != nil)
        try copier.start()
        // More than both sockets hold, so the sender below must have been made to wait.
        let count = 2000
        var sent = 0
        var received = 0
        while received < count {
            while sent < count {
                let frame = numberedFrame(sent, length: 1514)
                guard Glibc.send(device.far, frame, frame.count, 0) > 0 else { break }
                sent += 1
            }
            let frame = try #require(port.receive())
            #expect(frame == numberedFrame(received, length: 1514))
            received += 1
        }
        copier.stop()
        #expect(copier.uplinkCounters.snapshot.frames == UInt64(count))
        #expect(copier.uplinkCounters.snapshot.dropped == 0)
    }

    @Test func `without a switch frames are dropped and counted, and the loss is reported`() throws
    {
        var switchSide: PlayedPort? = try PlayedPort(path: path + "2")
        let guest = try Joiner(
            portPath: path + "2", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let copier = try FrameCopier(
            device: device.near, socket: guest.descriptor, state: guest.state,
            shape: .whole(mtu: 1500))
        try guest.join()
        #expect(switchSide?.receive() != nil)
        switchSide = nil
        try copier.start()
        #expect(device.send(numberedFrame(1)))
        let limit = PlayedPort.limitMilliseconds
        #expect(cshims_descriptor_poll(copier.attentionDescriptor, Int16(POLLIN), limit) > 0)
        #expect(copier.takeAttention() == nil)
        #expect(!guest.state.current.isJoined)
        copier.stop()
        #expect(copier.uplinkCounters.snapshot.droppedNotJoined == 1)
        #expect(copier.uplinkCounters.snapshot.frames == 0)
    }

    @Test func `a frame longer than the device takes is dropped, not cut`() throws {
        try joiner.join()
        #expect(port.receive() != nil)
        try copier.start()
        #expect(port.send(numberedFrame(1, length: 1519)))
        #expect(port.send(numberedFrame(2, length: 1518)))
        #expect(device.receive() == numberedFrame(2, length: 1518))
        copier.stop()
        #expect(copier.downlinkCounters.snapshot.droppedOversize == 1)
    }

    @Test func `an idle copier ends at once`() throws {
        try joiner.join()
        try copier.start()
        let start = ContinuousClock.now
        copier.stop()
        #expect(ContinuousClock.now - start < .seconds(10))
        copier.stop()
    }
}
