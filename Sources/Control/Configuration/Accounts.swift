import Glibc

/// Users and groups of this machine (getpwnam(3), getgrnam(3)).
enum Accounts {
    case user, group

    /// "user" or "group".
    var noun: String { self == .user ? "user" : "group" }

    /// The number of the account named `name`, `nil` where there is none.
    func id(of name: String) -> UInt32? {
        switch self {
        case .user:
            lookUp(passwd.self) { getpwnam_r(name, $0, $1, $2, $3) }?.pw_uid
        case .group:
            lookUp(Glibc.group.self) { getgrnam_r(name, $0, $1, $2, $3) }?.gr_gid
        }
    }

    /// The name of account `id`, where it has one that leads back to `id`.
    func name(of id: UInt32) -> String? {
        let name: String? =
            switch self {
            case .user:
                lookUp(passwd.self, { getpwuid_r(id, $0, $1, $2, $3) }) {
                    String(cString: $0.pw_name)
                }
            case .group:
                lookUp(Glibc.group.self, { getgrgid_r(id, $0, $1, $2, $3) }) {
                    String(cString: $0.gr_name)
                }
            }
        guard let name, self.id(of: name) == id else { return nil }
        return name
    }

    private typealias Query<Record> = (
        UnsafeMutablePointer<Record>, UnsafeMutablePointer<CChar>, Int,
        UnsafeMutablePointer<UnsafeMutablePointer<Record>?>
    ) -> Int32

    private func lookUp<Record>(_ type: Record.Type, _ query: Query<Record>) -> Record? {
        lookUp(type, query) { $0 }
    }

    /// Asks with a buffer that grows until the record's strings fit (ERANGE), to 1 MiB; `body` must
    /// copy what it wants of them, for the buffer is gone afterwards.
    private func lookUp<Record, Value>(
        _ type: Record.Type, _ query: Query<Record>, _ body: (Record) -> Value
    ) -> Value? {
        let record = UnsafeMutablePointer<Record>.allocate(capacity: 1)
        defer { record.deallocate() }
        var capacity = 4096
        while capacity <= 1 << 20 {
            let strings = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
            defer { strings.deallocate() }
            var found: UnsafeMutablePointer<Record>?
            let code = query(record, strings, capacity, &found)
            if code != ERANGE { return found.map { body($0.pointee) } }
            capacity *= 4
        }
        return nil
    }
}
