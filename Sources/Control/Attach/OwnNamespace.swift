// How the process comes to a namespace of its own. The unsharing itself happens in C before any
// thread exists (userns.h); here is the decision, and what to tell the user when it is forbidden.

import CShimsSystem
import Glibc

/// A network and mount namespace of this process alone, with a user namespace for ordinary users.
enum OwnNamespace {
    /// Returns in a process that is in its own namespaces. The first time it does so by executing
    /// the program again, so nothing may have been started that has to survive this.
    static func enter() throws(AttachError) {
        let outcome = cshims_userns_outcome()
        switch UInt32(bitPattern: outcome.step) {
        case CSHIMS_USERNS_DONE.rawValue:
            return
        case CSHIMS_USERNS_NOT_ASKED.rawValue:
            throw .system(
                what: "cannot execute the program again", code: -cshims_userns_reexecute())
        case CSHIMS_USERNS_UNSHARE.rawValue:
            throw .unfit(refusal(code: -outcome.error, sysctl: readSysctl))
        case CSHIMS_USERNS_MAP.rawValue:
            throw .system(what: "cannot become root in a user namespace", code: -outcome.error)
        default:
            throw .system(what: "cannot make a mount namespace", code: -outcome.error)
        }
    }

    /// What forbids namespaces, as a sentence with its remedy.
    /// - Parameters:
    ///   - code: errno of unshare(2).
    ///   - sysctl: the value of a file below /proc/sys, `nil` where there is none.
    static func refusal(code: Int32, sysctl: (String) -> String?) -> String {
        let start = "a network namespace of one's own is forbidden here"
        let asRoot = "; or run as root"
        // Debian's and Ubuntu's own switches, then the kernel's limit (user_namespaces(7)).
        if sysctl("kernel/unprivileged_userns_clone") == "0" {
            return "\(start): sysctl kernel.unprivileged_userns_clone = 0; "
                + "allow it with `sysctl -w kernel.unprivileged_userns_clone=1`\(asRoot)"
        }
        if sysctl("user/max_user_namespaces") == "0" || code == ENOSPC {
            return "\(start): the limit of sysctl user.max_user_namespaces = "
                + "\(sysctl("user/max_user_namespaces") ?? "?") is reached; "
                + "raise it with `sysctl -w user.max_user_namespaces=10000`\(asRoot)"
        }
        if sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" {
            return "\(start): sysctl kernel.apparmor_restrict_unprivileged_userns = 1; "
                + "allow it with `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
                + asRoot
        }
        return "\(start): \(SystemText.reason(code)); a container's seccomp profile may "
            + "refuse unshare(2)\(asRoot) outside of it"
    }

    private static func readSysctl(_ name: String) -> String? {
        let descriptor = open("/proc/sys/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return String(decoding: bytes[..<count], as: UTF8.self)
            .split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}
