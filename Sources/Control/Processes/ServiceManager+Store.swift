// Descriptors that the service manager keeps while the process ends and starts again: FDSTORE=1 of
// sd_notify(3), sd_pid_notify_with_fds(3).

internal import Glibc

extension ServiceManager {
    /// Whether the manager keeps descriptors, as far as it says.
    ///
    /// systemd tells since version 254 how many ($FDSTORE); who says nothing is asked all the same,
    /// and drops what it does not want.
    static var mayKeepDescriptors: Bool {
        guard let text = getenv("FDSTORE").map({ String(cString: $0) }) else { return true }
        return Int(text).map { $0 > 0 } ?? true
    }

    /// Gives a descriptor into keeping under a name without ':'; it stays the caller's as well.
    ///
    /// The manager does not watch it (FDPOLL=0): it cannot know what the end of a peer means.
    /// - Returns: 0, or an errno. EAGAIN: the manager does not read.
    func keep(_ descriptor: Int32, name: String, patienceMilliseconds: Int32 = 0) -> Int32 {
        send(
            "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", descriptor: descriptor,
            patienceMilliseconds: patienceMilliseconds)
    }

    /// Lets the manager forget every descriptor of that name.
    func forget(_ name: String, patienceMilliseconds: Int32 = 0) -> Int32 {
        send("FDSTOREREMOVE=1\nFDNAME=\(name)", patienceMilliseconds: patienceMilliseconds)
    }
}
