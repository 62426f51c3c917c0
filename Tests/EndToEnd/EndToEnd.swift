import Testing

/// The whole switch from outside: the real binary, real peers, the reports that a user reads.
///
/// Every end-to-end suite is an extension of this one. It is serialized, and so are its children:
/// what one test offers as load would be another one's noise.
///
/// A test is built from the parts in `Support`:
/// - `SwitchProcess` runs the binary beside the test bundle on a configuration,
/// - `Guest` boots a virtual machine on a port, `NetworkNamespace` is an isolated host, `LANHost`
///   one on a port of its own, and `NetworkSocket` a socket there,
/// - `SystemdMachine` is a machine where systemd runs the switch that `make install` brings,
/// - `ChildProcess` runs anything else (iperf3, `ringswitch attach`, a traffic generator),
/// - `TemporaryDirectory` holds sockets and files.
///
/// All of them are gone when the last reference is, and also when the test process is killed.
///
/// What must happen is waited for with `Duration.patience`; the time limit is for what hangs.
@Suite("End to end", .serialized, .timeLimit(.minutes(10)))
enum EndToEnd {}
