// How many files the process may open. The usual soft limit of 1024 protects programs that use
// select(2), which this one does not; the hard limit is what the administrator means.

internal import Glibc

/// The limit of open files, RLIMIT_NOFILE.
enum DescriptorLimit {
    /// Descriptors beside those of ports: rings, events, the control socket and its connections,
    /// the log.
    private static let base = 64

    /// Raises the soft limit to the hard one.
    /// - Throws: when that is too low for any switch, or for this one.
    static func raise(for configuration: Configuration? = nil) throws(SwitchError) {
        let needed = configuration.map(need) ?? Configuration.portLimit
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        guard limit.rlim_cur < rlim_t(needed) else { return }
        throw SwitchError(
            "the limit of \(limit.rlim_cur) open files (RLIMIT_NOFILE) is too low: the "
                + "switch needs \(needed); raise it with `ulimit -Hn`, or "
                + "LimitNOFILE= in a systemd unit")
    }

    /// A unixgram port has a socket and its peer's pidfd, and at a shared path at worst a pair of
    /// sockets, a relay's wake-up and a socket that listens; a TAP port has the device and a
    /// netlink socket. The kernel also demands that the ring's table of files, one for each port
    /// that there could be, keeps to the limit.
    private static func need(of configuration: Configuration) -> Int {
        max(
            Configuration.portLimit,
            base + 8 * configuration.workers
                + configuration.ports.reduce(0) { $0 + ($1.isShared ? 5 : 2) })
    }
}

extension PortConfiguration {
    fileprivate var isShared: Bool {
        if case .unixgram(let socket) = kind { socket.isShared } else { false }
    }
}
