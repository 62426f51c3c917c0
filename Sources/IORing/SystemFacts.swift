// The surroundings of a refusal. Explaining is a pure function of these facts
// (`RingError.setupRefused`), so that every sentence can be tested on a machine that refuses
// nothing.

internal import CShimsRing

/// What the running system says about itself, read when something was refused.
package struct SystemFacts: Equatable {
    /// The kernel's release, such as "6.18.44".
    package var release = "unknown"
    /// kernel.io_uring_disabled: 0, 1 or 2; `nil` where the kernel has no such key (before 6.6).
    package var sysctlDisabled: Int?
    /// kernel.io_uring_group: a group's id, -1 for none.
    package var sysctlGroup: Int?
    /// Whether a seccomp filter is on the calling thread.
    package var isFiltered = false
    /// Whether the calling thread has CAP_SYS_ADMIN.
    package var isAdministrator = false
    /// RLIMIT_MEMLOCK in bytes, `UInt64.max` for no limit.
    package var lockedBytesLimit = UInt64.max
    /// RLIMIT_NOFILE, `UInt64.max` for no limit.
    package var descriptorLimit = UInt64.max

    package init() {}

    /// Reads the facts of the calling thread and its system; what cannot be read keeps its default.
    package static func read() -> SystemFacts {
        var facts = SystemFacts()
        if let release = line(of: "/proc/sys/kernel/osrelease") { facts.release = release }
        facts.sysctlDisabled = line(of: "/proc/sys/kernel/io_uring_disabled").flatMap { Int($0) }
        facts.sysctlGroup = line(of: "/proc/sys/kernel/io_uring_group").flatMap { Int($0) }
        facts.lockedBytesLimit = cshims_limit_locked_bytes()
        facts.descriptorLimit = cshims_limit_descriptors()
        // Filters and capabilities belong to threads, not to the process.
        facts.adopt(threadStatus: text(of: "/proc/thread-self/status") ?? "")
        return facts
    }

    /// Takes "Seccomp:" and "CapEff:" from the text of /proc/thread-self/status.
    package mutating func adopt(threadStatus: String) {
        for line in threadStatus.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count == 2 else { continue }
            if words[0] == "Seccomp:" {
                isFiltered = words[1] == "2"  // 0 none, 1 strict, 2 a filter
            } else if words[0] == "CapEff:", let bits = UInt64(words[1], radix: 16) {
                isAdministrator = bits & 1 << 21 != 0  // CAP_SYS_ADMIN is capability 21
            }
        }
    }

    private static func line(of path: String) -> String? {
        text(of: path)?.split(separator: "\n").first.map(String.init)
    }

    private static func text(of path: String) -> String? {
        var bytes = [CChar](repeating: 0, count: 8192)
        let count = cshims_file_read(path, &bytes, Int32(bytes.count))
        guard count >= 0 else { return nil }
        return String(
            decoding: bytes.prefix(Int(count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
