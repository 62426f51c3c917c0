import Glibc

/// Waiting for several descriptors at once.
enum Waiting {
    /// Waits until one of the descriptors is readable or time is up.
    /// - Parameters:
    ///   - descriptors: at least one; a negative one is never readable.
    ///   - milliseconds: time limit; negative waits for ever.
    /// - Returns: for each descriptor whether it is readable, hung up or in error. All false when
    ///   time is up, or when a signal interrupted the wait.
    static func forReadable(_ descriptors: [Int32], milliseconds: Int32) -> [Bool] {
        var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let count = poll(&entries, nfds_t(entries.count), milliseconds)
        guard count > 0 else { return descriptors.map { _ in false } }
        return entries.map { $0.revents != 0 }
    }
}
