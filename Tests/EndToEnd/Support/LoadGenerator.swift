import Foundation

/// `loadgen`: virtual machines that offer measured or hostile traffic, and check what they receive.
final class LoadGenerator: Sendable {
    /// Its binary.
    static let executable = SwitchProcess.program("loadgen")

    /// The running program: pid, signals.
    let process: ChildProcess

    /// Starts machines and their flows, in the words of `loadgen --help`.
    /// - Parameter prefix: a command that executes the generator.
    init(
        endpoints: [String], flows: [String] = [], options: [String] = [],
        under prefix: [String] = []
    ) throws {
        process = try ChildProcess(
            prefix
                + [Self.executable, "--quiet", "0.5", "--drain", "60", "--await-peer", "60"]
                + endpoints.flatMap { ["--endpoint", $0] } + flows.flatMap { ["--flow", $0] }
                + options)
    }

    /// Runs flows to their end.
    static func run(
        endpoints: [String], flows: [String], options: [String] = [],
        within limit: Duration = .patience
    ) async throws -> LoadReport {
        try await LoadGenerator(endpoints: endpoints, flows: flows, options: options)
            .report(within: limit)
    }

    /// Machines that are attached, receive, and send nothing after their announcements.
    static func listening(_ endpoints: [String]) async throws -> LoadGenerator {
        let generator = try LoadGenerator(endpoints: endpoints, options: ["--ready"])
        try await generator.isReady()
        return generator
    }

    /// Waits until every machine of a generator with `--ready` is attached and known.
    func isReady() async throws {
        try await process.line(containing: "\"ready\": true")
    }

    /// Starts the flows of a generator with `--hold`.
    func go() { process.send(line: "go") }

    /// Ends a generator now, and takes its report.
    func end() async throws -> LoadReport {
        process.send(signal: SIGTERM)
        return try await report()
    }

    /// Waits for the report, the last line that is printed.
    func report(within limit: Duration = .patience) async throws -> LoadReport {
        let result = try await process.result(within: limit)
        guard result.isSuccess, let line = result.standardOutput.split(separator: "\n").last else {
            throw process.failure("has no report")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(LoadReport.self, from: Data(line.utf8))
    }
}

/// What a load generator reports; bench/README.md explains the fields.
struct LoadReport: Decodable, Sendable {
    struct Totals: Decodable, Sendable {
        /// Datagrams that the kernel took from, and gave to, all machines; "VFKT" left out.
        let sent: UInt64, received: UInt64
    }

    struct Endpoint: Decodable, Sendable {
        let name: String
        let received: UInt64, overheard: UInt64, aliens: UInt64
    }

    struct Sent: Decodable, Sendable {
        let id: Int
        let name: String
        let sent: UInt64, missed: UInt64, errors: UInt64
    }

    struct Received: Decodable, Sendable {
        let endpoint: String
        let flow: Int
        let frames: UInt64, lost: UInt64, reordered: UInt64, duplicates: UInt64, corrupted: UInt64
        let seconds: Double
        let delayNs: Delay
    }

    struct Delay: Decodable, Sendable {
        let p50: UInt64, p99: UInt64, max: UInt64
    }

    let totals: Totals
    let endpoints: [Endpoint]
    let sent: [Sent]
    let received: [Received]

    /// The flow `id` as `endpoint` received it; the only receiver's when none is named.
    func flow(_ id: Int, at endpoint: String? = nil) -> Received? {
        received.first { $0.flow == id && (endpoint == nil || $0.endpoint == endpoint) }
    }

    /// Frames that came late, twice or damaged: wrong at any load.
    var faults: UInt64 {
        received.reduce(0) { $0 + $1.reordered + $1.duplicates + $1.corrupted }
    }
}
