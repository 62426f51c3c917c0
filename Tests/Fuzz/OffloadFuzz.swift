// Fuzzing of what is done to frames of strangers: inspection, checksums, fitting, cutting.
//
// libFuzzer calls `fuzzOne` with bytes that it varies; `scripts/fuzz` builds and runs it. What must
// hold is said in Tests/Support/OffloadProperties.swift; that nothing outside of the frame, its
// header and the memory for headers is touched, the address sanitizer sees.
//
//      byte  0   mtu, 2 bytes             of the egress; all numbers in network byte order
//      byte  2   longest frame, 1 byte    as what it is more than the mtu
//      byte  3   tail, 2 bytes            how many counted bytes follow the frame, so that a large
//                                         one need not be a large input
//      byte  5   header, 12 bytes         as the peer of a vnet port wrote it
//      byte 17   frame

import Glibc
import Support
import SwitchCore

/// Bytes before the frame.
private let settingsLength = 17

/// Longest frame, in bytes; a little more than any port may send.
private let frameLengthMax = 65_560

private func tail(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0) }
}

/// Holds one input against all properties, and ends the program where one is broken.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size >= settingsLength, let data else { return 0 }
    let input = UnsafeBufferPointer(start: data, count: size)
    let settings = Array(input[..<settingsLength])
    let mtu = Int(settings.wire(at: 0))
    let properties = OffloadProperties(
        mtu: mtu, maxFrame: mtu + Int(settings[2]), placement: .heap)
    let header = VirtioNetHeader.load(wire: settings[5...])
    var frame = Array(input[settingsLength...].prefix(frameLengthMax))
    frame += tail(min(Int(settings.wire(at: 3)), frameLengthMax - frame.count))
    do {
        // No raw port may send a longer one; a vnet port's header is refused.
        if frame.count <= 65_550 { try properties.checkRaw(frame, header: header) }
        try properties.checkVnet(frame, header: header)
    } catch {
        fatalError("\(error)")
    }
    return 0
}

/// With the argument `--corpus DIRECTORY`, writes valid packets there to begin with, and ends.
@_cdecl("LLVMFuzzerInitialize")
public func fuzzInitialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafePointer<CChar>>>
) -> CInt {
    let texts = (0..<Int(count.pointee)).map { String(cString: arguments.pointee[$0]) }
    guard texts.count == 3, texts[1] == "--corpus" else { return 0 }
    let directory = texts[2]
    for seed in 1...UInt64(200) { write(corpusItem(seed: seed), to: "\(directory)/\(seed)") }
    exit(0)
}

private func corpusItem(seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var packet = PacketBuilder.random(using: &generator)
    let tailLength = max(0, packet.padding.isEmpty ? packet.payload.count - 100 : 0)
    packet.payload.removeLast(tailLength)
    packet.payload += tail(tailLength)
    let header = packet.vnetHeader(gsoSize: Int.random(in: 1...1500, using: &generator))
    let mtu = [40, 576, 1500, 9000].randomElement(using: &generator)!
    var input: [UInt8] = [UInt8(mtu >> 8), UInt8(mtu & 0xFF), 18]
    input += [UInt8(tailLength >> 8), UInt8(tailLength & 0xFF)]
    input += header.wire
    return input + packet.bytes.dropLast(tailLength)
}

private func write(_ bytes: [UInt8], to path: String) {
    guard let file = fopen(path, "w"), fwrite(bytes, 1, bytes.count, file) == bytes.count,
        fclose(file) == 0
    else { fatalError("cannot write \(path)") }
}

extension VirtioNetHeader {
    /// The header's bytes as they lie before a frame, but in network byte order.
    fileprivate var wire: [UInt8] {
        let words = [headerLength, gsoSize, checksumStart, checksumOffset, bufferCount]
        return [flags, gsoType] + words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] as [UInt8] }
    }

    fileprivate static func load(wire slice: ArraySlice<UInt8>) -> VirtioNetHeader {
        let bytes = Array(slice)
        var header = VirtioNetHeader()
        header.flags = bytes[0]
        header.gsoType = bytes[1]
        header.headerLength = bytes.wire(at: 2)
        header.gsoSize = bytes.wire(at: 4)
        header.checksumStart = bytes.wire(at: 6)
        header.checksumOffset = bytes.wire(at: 8)
        header.bufferCount = bytes.wire(at: 10)
        return header
    }
}
