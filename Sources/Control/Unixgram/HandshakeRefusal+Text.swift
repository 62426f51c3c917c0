// The sentence for each refusal: who, why, and the remedy.

internal import Glibc

extension HandshakeRefusal {
    /// Why, and what to do about it.
    var explanation: String {
        switch reason {
        case .unbound:
            "its socket has no path of its own, so no frame could be sent back; bind it to one "
                + "before it connects (QEMU: local.type=unix,local.path=...)"
        case .notConnected:
            "it sends without connecting, which only works at a path of its own: give it one, or a "
                + "descriptor (`ringswitch exec`)"
        case .userUnknown:
            "the kernel does not tell its user and the port has allow_uids"
        case .userNotAllowed(let allowed):
            "its user is not in allow_uids (\(allowed.map(String.init).joined(separator: ", ")))"
        case .connectBack(let code):
            "cannot connect back to its socket: \(Self.remedy(code))"
        case .pathLeadsElsewhere:
            "its path now leads to the socket of somebody else; give every VM a path of its own"
        case .silentAmongOthers:
            "another socket is connected to the port as well, and the first one to send a frame is "
                + "taken; give every VM a port of its own"
        }
    }

    private static func remedy(_ code: Int32) -> String {
        switch code {
        case EACCES:
            "permission denied; run the VM and the switch as one user, or let uid "
                + "\(SystemText.effectiveUID) write to the socket and search its directory"
        case ENOENT:
            "no such file here; the VM runs in another mount namespace (a container, systemd's "
                + "PrivateTmp=yes), has bound a relative path, or has removed its socket: let it "
                + "bind an absolute path in a directory that both see"
        case ECONNREFUSED:
            "nobody owns it; the process has closed it or was started in another network namespace"
        case EPERM:
            "it is connected to another socket, which alone may send to it"
        default:
            SystemText.reason(code)
        }
    }
}
