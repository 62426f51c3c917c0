import CShimsSystem
import Glibc

/// A network namespace with a name in /run/netns, as `ip netns` keeps them. If it had to be made,
/// it is removed with this object.
final class NamedNamespace {
    let name: String
    private let isOurs: Bool

    /// Makes the namespace unless it exists. Needs CAP_SYS_ADMIN.
    init(_ name: String) throws(SystemFailure) {
        self.name = name
        isOurs =
            try SystemFailure.check(
                cshims_netns_create(name), "cannot make the network namespace \(name)") == 1
    }

    deinit { if isOurs { _ = cshims_netns_delete(name) } }

    /// The file that stands for the namespace.
    var path: String { "/run/netns/\(name)" }

    /// A descriptor for setns(2), the caller's to close.
    func open() throws(SystemFailure) -> Int32 {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure(what: "cannot open \(path)", code: errno) }
        return descriptor
    }
}
