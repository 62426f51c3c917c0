// What can keep io_uring from working, in sentences for people: what is missing, and the remedy.

internal import Glibc

/// Why io_uring cannot be used.
public enum RingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// kernel.io_uring_disabled forbids it: 1 to all but CAP_SYS_ADMIN and one group (-1 is none),
    /// 2 to everybody.
    case disabledBySysctl(value: Int, group: Int)
    /// A seccomp filter answers in the kernel's place, as in containers.
    case blockedByFilter(errno: Int32)
    /// Neither the sysctl nor a filter forbids it, so a security module does.
    case blockedBySecurityModule
    /// The kernel was built without io_uring, or is older than 5.1.
    case absent(release: String)
    /// The kernel is too old for something that ringswitch needs.
    case featureMissing(String, since: String, release: String)
    /// No memory, or RLIMIT_MEMLOCK is too low: without CAP_IPC_LOCK, Linux 6.18 charges the user
    /// with the queues of every ring and a page for every buffer ring of up to 256 buffers.
    case outOfMemory(call: String, lockedBytesLimit: UInt64)
    /// The process may open no more descriptors, or a file table would exceed its limit.
    case tooManyDescriptors(call: String, limit: UInt64)
    /// Any other failure of a system call, with its errno.
    case systemCall(String, Int32)

    /// A sentence for people: what is missing, and the remedy.
    public var description: String {
        switch self {
        case .disabledBySysctl(let value, let group):
            return RingError.sysctlDescription(value: value, group: group)
        case .blockedByFilter(let errno):
            return "io_uring is blocked by a seccomp filter, as containers have "
                + "(\(RingError.name(errno))): allow io_uring_setup, io_uring_enter and "
                + "io_uring_register in its profile; with docker or podman, "
                + "--security-opt seccomp=PROFILE.json (or seccomp=unconfined)"
        case .blockedBySecurityModule:
            return "io_uring is refused (EPERM) though kernel.io_uring_disabled allows it and no "
                + "seccomp filter is set: a security module such as SELinux forbids it"
        case .absent(let release):
            return "kernel \(release) has no io_uring (ENOSYS): ringswitch needs Linux 6.1 or "
                + "newer, built with CONFIG_IO_URING"
        case .featureMissing(let feature, let since, let release):
            return "kernel \(release) lacks \(feature) (new in Linux \(since)): ringswitch needs "
                + "Linux 6.1 or newer"
        case .outOfMemory(let call, let limit):
            return RingError.memoryDescription(call: call, limit: limit)
        case .tooManyDescriptors(let call, let limit):
            return "\(call) failed: the limit of \(limit) open files (RLIMIT_NOFILE) is too low; "
                + "raise it with `ulimit -n`, or LimitNOFILE= in a systemd unit"
        case .systemCall(let call, let errno):
            return "\(call) failed: \(String(cString: strerror(errno))) (errno \(errno))"
        }
    }

    private static func sysctlDescription(value: Int, group: Int) -> String {
        let setting = "io_uring is disabled: kernel.io_uring_disabled = \(value) "
        let remedy = "`sysctl kernel.io_uring_disabled=0` as root enables it"
        guard value == 1 else { return setting + "forbids it to every process; " + remedy }
        let members =
            group < 0
            ? "(kernel.io_uring_group names no group)"
            : "or to members of group \(group) (kernel.io_uring_group)"
        return setting + "allows it only with CAP_SYS_ADMIN \(members); " + remedy
    }

    private static func memoryDescription(call: String, limit: UInt64) -> String {
        guard limit != UInt64.max else { return "\(call) failed: out of memory (ENOMEM)" }
        return "\(call) failed: out of memory (ENOMEM); locked memory is limited to "
            + "\(limit / 1024) KiB (RLIMIT_MEMLOCK): raise it with `ulimit -l`, or LimitMEMLOCK= "
            + "in a systemd unit"
    }

    private static func name(_ errno: Int32) -> String {
        switch errno {
        case EPERM: "EPERM"
        case EACCES: "EACCES"
        case ENOSYS: "ENOSYS"
        default: "errno \(errno)"
        }
    }
}

extension RingError {
    /// Explains why io_uring_setup answered `status` (-errno) on a system with these facts.
    package static func setupRefused(status: Int32, on facts: SystemFacts) -> RingError {
        switch -status {
        case EPERM, EACCES:
            let value = facts.sysctlDisabled ?? 0
            if value >= 2 || (value == 1 && !facts.isAdministrator) {
                return .disabledBySysctl(value: value, group: facts.sysctlGroup ?? -1)
            }
            return facts.isFiltered ? .blockedByFilter(errno: -status) : .blockedBySecurityModule
        case ENOSYS where facts.isFiltered && facts.sysctlDisabled != nil:
            // The sysctl exists only in kernels with io_uring: the answer is not the kernel's.
            return .blockedByFilter(errno: ENOSYS)
        case ENOSYS:
            return .absent(release: facts.release)
        default:
            return describing(status: status, call: "io_uring_setup", on: facts)
        }
    }

    /// Explains -errno of any call.
    package static func describing(
        status: Int32, call: String, on facts: SystemFacts
    ) -> RingError {
        switch -status {
        case ENOMEM: .outOfMemory(call: call, lockedBytesLimit: facts.lockedBytesLimit)
        case EMFILE: .tooManyDescriptors(call: call, limit: facts.descriptorLimit)
        default: .systemCall(call, -status)
        }
    }
}
