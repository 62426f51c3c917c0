// Descriptors that were open when the program was started: by systemd's protocol
// (sd_listen_fds(3)), or simply left open.
//
// They are looked at once, before the program opens anything itself: from then on a number says
// nothing any more. What would live on in another program was meant for this one; what would not
// was opened by the runtime libraries. Nothing is taken but on a port's word, and taken once.

internal import CShimsSystem
internal import Glibc
internal import Synchronization

/// The process's inheritance. Thread-safe.
enum InheritedDescriptors {
    private struct Estate {
        var numbers: Set<Int32> = []
        /// From LISTEN_FDNAMES; a name may be that of several.
        var names: [(name: String, number: Int32)] = []
    }

    private static let estate = Mutex(Estate())
    /// The first number that systemd passes (SD_LISTEN_FDS_START).
    private static let firstListenNumber: Int32 = 3

    /// Notes what is there. Call it once, first of all, while there is one thread.
    static func collect() {
        let numbers = openNumbers().filter { $0 != STDERR_FILENO && isInheritable($0) }
        let names = listenNames().filter { numbers.contains($0.number) }
        for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(variable) }
        for number in numbers where number > STDERR_FILENO {
            _ = cshims_descriptor_set_inheritable(number, false)
        }
        estate.withLock { $0 = Estate(numbers: Set(numbers), names: names) }
    }

    /// The descriptor of that number; `nil` where none was inherited, or it has been taken.
    static func take(number: Int32) -> PassedDescriptor? {
        let isThere = estate.withLock { estate in
            estate.names.removeAll { $0.number == number }
            return estate.numbers.remove(number) != nil
        }
        guard isThere else { return nil }
        guard number <= STDERR_FILENO else { return PassedDescriptor(adopting: number) }
        // The number itself must never come to mean something else: others write to it blindly.
        let copy = cshims_descriptor_duplicate(number)
        guard copy >= 0 else { return nil }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        if null >= 0 {
            _ = cshims_descriptor_place(null, number)
            _ = cshims_descriptor_close(null)
        }
        return PassedDescriptor(adopting: copy)
    }

    /// The first descriptor of that name.
    static func take(name: String) -> PassedDescriptor? {
        let number = estate.withLock { estate in estate.names.first { $0.name == name }?.number }
        return number.flatMap { take(number: $0) }
    }

    /// Every descriptor whose name begins so, by the rest of its name; of two with one name the
    /// first, as systemd passes the newest first.
    static func take(prefix: String) -> [String: PassedDescriptor] {
        let wanted = estate.withLock { $0.names.filter { $0.name.hasPrefix(prefix) } }
        var taken: [String: PassedDescriptor] = [:]
        for (name, number) in wanted.reversed() {
            taken[String(name.dropFirst(prefix.count))] = take(number: number)
        }
        return taken
    }

    private static func isInheritable(_ number: Int32) -> Bool {
        cshims_descriptor_is_inheritable(number) > 0
    }

    private static func openNumbers() -> [Int32] {
        guard let directory = opendir("/proc/self/fd") else { return [] }
        defer { closedir(directory) }
        var numbers: [Int32] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let number = Int32(name) { numbers.append(number) }
        }
        return numbers
    }

    private static func listenNames() -> [(name: String, number: Int32)] {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        guard variable("LISTEN_PID").flatMap({ Int32($0) }) == getpid(),
            let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), count > 0
        else { return [] }
        let names =
            variable("LISTEN_FDNAMES")?
            .split(separator: ":", omittingEmptySubsequences: false) ?? []
        return names.prefix(Int(count)).enumerated().map { index, name in
            (String(name), firstListenNumber + Int32(index))
        }
    }
}
