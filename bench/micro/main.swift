// Micro-benchmark of classification: `micro [frames] [scenario]` pushes that many frames through
// `classify` in batches of 32, and prints what it did and a checksum of the verdicts, so that
// neither the compiler nor a change of behaviour can hide.
//
//     pair      one station sends to one station (the default)
//     duplex    two stations send to each other, frame by frame in turns
//     stations  64 ports, 10,000 stations, every frame to another one
//     flood     broadcasts between four ports
//     inspect, checksum, segment, cut, fit
//               not `classify` but one step of what large frames and partial checksums need
//               (Offload.swift)
//     plane     not `classify` alone but the whole turn of a worker, over io_uring (Plane.swift)
//
// `scripts/instructions` counts user instructions per frame of all but `plane`, which callgrind
// does not run, and holds them to their budgets.

import Support
import SwitchCore

struct Scenario: Sendable {
    let portCount: Int
    let stationCount: Int
    /// The stations that send and are sent to in frame `number`; no destination is a broadcast.
    let flow: @Sendable (_ number: Int) -> (source: Int, destination: Int?)

    static let all: [String: Scenario] = [
        "pair": Scenario(portCount: 2, stationCount: 2) { _ in (0, 1) },
        "duplex": Scenario(portCount: 2, stationCount: 2) { ($0 & 1, 1 - $0 & 1) },
        "stations": Scenario(portCount: 64, stationCount: 10_000) {
            ($0 * 7919 % 10_000, ($0 * 104_729 + 1) % 10_000)
        },
        "flood": Scenario(portCount: 4, stationCount: 4) { ($0 / 32 % 4, nil) },
    ]
}

func run(_ scenario: Scenario, frameCount: Int) -> UInt64 {
    let batchSize = 32
    let batchCount = 1024
    let frameLength = 1514
    let pool = UnsafeMutableRawPointer.allocate(
        byteCount: batchCount * batchSize * 64, alignment: 64)
    defer { pool.deallocate() }
    let frames = UnsafeMutablePointer<Frame>.allocate(capacity: batchCount * batchSize)
    defer { frames.deallocate() }
    for number in 0..<batchCount * batchSize {
        let (source, destination) = scenario.flow(number)
        let bytes = FrameBuilder(
            destination: destination.map(station) ?? .broadcast, source: station(source)
        ).bytes
        let address = pool + number * 64
        address.copyMemory(from: bytes, byteCount: min(bytes.count, 64))
        (frames + number).initialize(
            to: Frame(
                address: address, length: Int32(frameLength),
                ingress: PortID(index: source % scenario.portCount), bufferID: 0))
    }
    let counters = CounterTable(portCapacity: 64, workerCount: 1)
    defer { counters.deallocate() }
    let macTable = MACTable(limit: 16_384, portCapacity: 64, ageingTicks: 300, seed: 1)
    defer { macTable.deallocate() }
    for number in 0..<scenario.stationCount {
        _ = macTable.learn(
            source: station(number), vlan: 0, port: PortID(index: number % scenario.portCount),
            now: 0)
    }
    let floodMeters = FloodMeters(portCapacity: 64)
    defer { floodMeters.deallocate() }
    let entries = Array(repeating: PortEntry(isAttached: true), count: scenario.portCount)
    let published = Published(ConnectionTable(version: 1, entries: entries))
    defer { published.deallocate() }

    let verdicts = UnsafeMutableBufferPointer<Verdict>.allocate(capacity: batchSize)
    defer { verdicts.deallocate() }
    var checksum: UInt64 = 0
    for batch in 0..<frameCount / batchSize {
        let start = frames + batch % batchCount * batchSize
        classify(
            frames: UnsafeBufferPointer(start: start, count: batchSize), into: verdicts,
            table: published.read(), macTable: macTable, floodMeters: floodMeters, now: 0,
            counters: counters)
        checksum = checksum &* 31 &+ UInt64(verdicts[batch % batchSize].rawValue)
    }
    let sum = counters.snapshot()
    precondition(sum[.receivedFrames] == UInt64(frameCount / batchSize * batchSize))
    return checksum &+ sum[.floodCopies] &* 3 &+ sum.dropped &* 5
}

let frameCount = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 10_000_000
let name = CommandLine.arguments.dropFirst(2).first ?? "pair"
var checksum: UInt64 = 0
let time: Duration
if name == "plane" {
    time = try ContinuousClock().measure { checksum = try runPlane(frameCount: frameCount) }
} else if let scenario = Scenario.all[name] {
    time = ContinuousClock().measure { checksum = run(scenario, frameCount: frameCount) }
} else if let scenario = offloadScenarios[name] {
    time = ContinuousClock().measure { checksum = scenario(frameCount) }
} else {
    let names = (Array(Scenario.all.keys) + offloadScenarios.keys).sorted()
    fatalError("unknown scenario \(name); there are \(names) and plane")
}
let parts = time.components
let nanoseconds = Double(parts.seconds) * 1e9 + Double(parts.attoseconds) / 1e9
let perFrame = (nanoseconds / Double(frameCount) * 100).rounded() / 100
print("scenario=\(name) frames=\(frameCount) ns_per_frame=\(perFrame) checksum=\(checksum)")
