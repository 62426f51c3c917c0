/// What `ringswitch demo` was asked to do.
public struct DemoOptions: Sendable {
    /// How long iperf3 measures each direction.
    public var seconds: Int
    /// Parallel TCP streams.
    public var streams: Int
    /// Whether the result is printed to standard output as JSON; the steps then go to standard
    /// error.
    public var isJSON: Bool

    /// Options with the defaults of the command line.
    public init(seconds: Int = 5, streams: Int = 1, isJSON: Bool = false) {
        self.seconds = seconds
        self.streams = streams
        self.isJSON = isJSON
    }

    /// Throws the first thing that cannot work. iperf3 takes at most 128 streams.
    func validate() throws(DemoError) {
        guard (1...3600).contains(seconds) else {
            throw .usage("--seconds is 1 to 3600, not \(seconds)")
        }
        guard (1...128).contains(streams) else {
            throw .usage("--streams is 1 to 128, not \(streams)")
        }
    }
}
