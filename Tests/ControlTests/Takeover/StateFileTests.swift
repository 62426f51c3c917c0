// What a switch leaves to its successor, as bytes and in its file.

import CShimsSystem
import Dataplane
import Foundation
import Glibc
import Support
@_spi(Testing) import SwitchCore
import Testing

@testable import Control

@Suite struct StateFileTests {
    private func state(_ configuration: String = "", _ version: Int? = nil) -> SwitchState {
        var state = SwitchState(
            configuration: configuration, ports: [], rest: .init(), workers: [.init()])
        if let version { state.version = version }
        return state
    }

    private func full() -> FullState {
        var full = FullState(state: state("[switch]\n"))
        full.state.ports = [
            SwitchState.PortState(
                name: "vm1", index: 3, stage: .attached, since: Date(timeIntervalSince1970: 5),
                counters: .init(counters: ["received_frames": 7], drops: ["runt": 1]),
                socket: SwitchState.SocketState(
                    file: FileIdentity(device: 1, inode: .max), backlogMax: 11,
                    passesProcesses: true),
                peer: SwitchState.PeerState(
                    address: [0, 65, 255], pid: 12, uid: nil, command: "kvm", usedMagic: true))
        ]
        full.stations = [
            StationRecord(
                address: MACAddress(rawValue: 0x0200_0000_0001), vlan: 4095, portIndex: 1023,
                ageTicks: 299)
        ]
        full.frames = [
            FrameRecord(egressIndex: 3, ingressIndex: 1, time: .max - 1, bytes: [1, 2, 3]),
            FrameRecord(egressIndex: 0, ingressIndex: 1023, time: 0, bytes: []),
        ]
        full.streams = [
            StreamRecord(
                portIndex: 3,
                position: StreamPosition(received: [0, 0, 1], skipped: 70_000, unsent: [9]))
        ]
        return full
    }

    @Test func `a state is read back as it was written`() throws {
        let written = full()
        let read = try FullState(decoding: written.encoded())
        #expect(read.stations == written.stations && read.frames == written.frames)
        #expect(read.streams == written.streams)
        #expect(read.state.configuration == written.state.configuration)
        let (old, new) = (written.state.ports[0], read.state.ports[0])
        #expect(new.name == old.name && new.index == old.index && new.stage == old.stage)
        #expect(new.since == old.since && new.counters == old.counters)
        #expect(new.peer?.address == [0, 65, 255] && new.socket?.file == old.socket?.file)
    }

    @Test func `what is cut off anywhere is refused`() throws {
        let bytes = try full().encoded()
        for count in 0..<bytes.count {
            #expect(throws: StateError.self) { try FullState(decoding: Array(bytes[..<count])) }
        }
    }

    @Test func `another version is named`() throws {
        let bytes = try FullState(state: state("", 99)).encoded()
        #expect {
            try FullState(decoding: bytes)
        } throws: {
            "\($0)".contains("version 99")
                && "\($0)".contains("reads version \(SwitchState.version)")
        }
    }

    @Test func `the newest state counts, and its file does not grow with each`() throws {
        let file = try StateFile()
        #expect(file.read() == nil)
        for round in 0..<20 {
            let bytes = [UInt8](repeating: UInt8(round), count: 1000 + (round % 3) * 5000)
            try file.write(bytes)
            #expect(file.read() == bytes)
        }
        var status = stat()
        #expect(fstat(file.descriptor, &status) == 0)
        #expect(status.st_blocks * 512 < 1 << 20)
    }

    @Test(arguments: [0, 8, 16, 24, 500]) func `a writer that died leaves the state before`(
        place: Int
    ) throws {
        let file = try StateFile()
        try file.write(Array("first".utf8))
        try file.write([UInt8](repeating: 7, count: 1000))
        // The second is in the second slot; one byte of it is wrong.
        let offset = off_t(StateFile.slotOffsets[1] + place)
        var byte: UInt8 = 0
        #expect(pread(file.descriptor, &byte, 1, offset) == 1)
        byte ^= 0x55
        #expect(pwrite(file.descriptor, &byte, 1, offset) == 1)
        #expect(file.read() == Array("first".utf8))
        // And the next writer does not write over it.
        try file.write(Array("third".utf8))
        #expect(file.read() == Array("third".utf8))
    }

    @Test func `counters of a killed switch are sorted by port, and lost frames have a name`()
        throws
    {
        let table = CounterTable(portCapacity: 4, workerCount: 1)
        defer { table.deallocate() }
        let (own, other) = (PortID(index: 1), PortID(index: 2))
        table.block(port: own).add(.receivedFrames, 10)
        table.controlBlock(port: own).add(.receivedFrames, 2)
        table.controlBlock(port: own).add(dropped: .runt, 2)
        table.block(port: other).add(.sentFrames, 7)
        table.workerBlock(0).add(.turns, 5)
        table.workerBlock(0).add(dropped: .handoverFull, 1)
        var state = state()
        state.ports = [
            SwitchState.PortState(
                name: "vm", index: 1, stage: .listening, since: Date(), counters: .init(),
                baseline: .init(counters: ["received_frames": 3]))
        ]
        state.counterLayout = .current(portCapacity: 4, workerCount: 1)
        let words = table.allWords
        try state.settleCounters(words)
        #expect(state.ports[0].counters.counters == ["received_frames": 9])
        #expect(state.ports[0].counters.drops == ["runt": 2])
        #expect(state.rest.counters == ["received_frames": 3, "sent_frames": 7])
        #expect(state.workers[0].counters["turns"] == 5)
        // 12 came in; 7 went out, 3 were dropped: 2 were in the hands of who was killed.
        #expect(state.rest.drops == ["handover_full": 1, "port_removed": 2])

        state.counterLayout = .current(portCapacity: 4, workerCount: 1)
        state.counterLayout?.words[0] = "something else"
        #expect(throws: StateError.self) { try state.settleCounters(words) }
    }
}
