// A state as bytes: its JSON, stations, frames and streams, each behind its length, little endian.

internal import Dataplane
internal import Foundation
internal import SwitchCore

/// Why bytes are no state that this program understands.
struct StateError: Error, CustomStringConvertible, Equatable {
    let description: String
}

extension FullState {
    private static let stationLength = 16
    private static let frameHeaderLength = 16
    private static let streamHeaderLength = 14

    /// The state as bytes.
    func encoded() throws(StateError) -> [UInt8] {
        let json: Data
        do { json = try ReportJSON.encode(state, layout: .line) } catch {
            throw StateError(description: "the state cannot be encoded: \(error)")
        }
        let frameBytes = frames.reduce(0) { $0 + Self.frameHeaderLength + $1.bytes.count }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            24 + json.count + stations.count * Self.stationLength + frameBytes)
        bytes.append(number: UInt64(json.count))
        bytes += json
        bytes.append(number: UInt64(stations.count))
        for station in stations {
            bytes.append(number: station.address.rawValue | UInt64(station.vlan) << 48)
            bytes.append(number: station.ageTicks)
            bytes.append(number: UInt32(station.portIndex))
        }
        bytes.append(number: UInt64(frames.count))
        for frame in frames {
            bytes.append(number: frame.time)
            bytes.append(number: frame.egressIndex)
            bytes.append(number: frame.ingressIndex)
            bytes.append(block: frame.bytes)
        }
        bytes.append(number: UInt64(streams.count))
        for stream in streams {
            bytes.append(number: stream.portIndex)
            bytes.append(number: UInt32(clamping: stream.position.skipped))
            bytes.append(block: stream.position.received)
            bytes.append(block: stream.position.unsent)
        }
        return bytes
    }

    /// Reads back what `encoded` wrote.
    init(decoding bytes: [UInt8]) throws(StateError) {
        var reader = StateReader(bytes)
        let json = try reader.take(Int(clamping: reader.number(UInt64.self)))
        state = try Self.state(Data(json))
        let stationCount = try reader.number(UInt64.self)
        guard stationCount <= bytes.count / Self.stationLength else { throw Self.truncated }
        for _ in 0..<stationCount {
            let word = try reader.number(UInt64.self)
            let age = try reader.number(UInt32.self)
            stations.append(
                StationRecord(
                    address: MACAddress(rawValue: word), vlan: UInt16(word >> 48),
                    portIndex: UInt16(truncatingIfNeeded: try reader.number(UInt32.self)),
                    ageTicks: age))
        }
        let frameCount = try reader.number(UInt64.self)
        guard frameCount <= bytes.count / Self.frameHeaderLength else { throw Self.truncated }
        for _ in 0..<frameCount {
            let time = try reader.number(UInt64.self)
            let (egress, ingress) = try (reader.number(UInt16.self), reader.number(UInt16.self))
            frames.append(
                FrameRecord(
                    egressIndex: egress, ingressIndex: ingress, time: time,
                    bytes: try reader.block()))
        }
        let streamCount = try reader.number(UInt64.self)
        guard streamCount <= bytes.count / Self.streamHeaderLength else { throw Self.truncated }
        for _ in 0..<streamCount {
            let port = try reader.number(UInt16.self)
            let skipped = Int(try reader.number(UInt32.self))
            let (received, unsent) = try (reader.block(), reader.block())
            streams.append(
                StreamRecord(
                    portIndex: port,
                    position: StreamPosition(
                        received: received, skipped: skipped, unsent: unsent)))
        }
    }

    fileprivate static let truncated = StateError(description: "the state is cut off")

    /// The document, whose version is looked at before anything else.
    private static func state(_ json: Data) throws(StateError) -> SwitchState {
        struct Spoken: Decodable { var version: Int }
        guard let spoken = try? ReportJSON.decode(Spoken.self, from: json) else {
            throw StateError(description: "what was left behind is not the state of a switch")
        }
        guard spoken.version == SwitchState.version else {
            throw StateError(
                description: "the state was written in version \(spoken.version), this program "
                    + "reads version \(SwitchState.version)")
        }
        do { return try ReportJSON.decode(SwitchState.self, from: json) } catch {
            throw StateError(description: "the state cannot be read: \(error)")
        }
    }
}

/// Takes bytes apart from their start.
private struct StateReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func take(_ count: Int) throws(StateError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= bytes.count - position else { throw FullState.truncated }
        defer { position += count }
        return bytes[position..<(position + count)]
    }

    /// Bytes behind their length.
    mutating func block() throws(StateError) -> [UInt8] {
        Array(try take(Int(try number(UInt32.self))))
    }

    mutating func number<Number: FixedWidthInteger>(
        _ type: Number.Type
    ) throws(StateError) -> Number {
        var value: Number = 0
        for (place, byte) in try take(MemoryLayout<Number>.size).enumerated() {
            value |= Number(truncatingIfNeeded: byte) << (8 * Number(place))
        }
        return value
    }
}

extension [UInt8] {
    /// Appends bytes behind their length.
    fileprivate mutating func append(block: [UInt8]) {
        append(number: UInt32(block.count))
        self += block
    }

    /// Appends a number in little endian.
    mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { self += $0 }
    }
}
