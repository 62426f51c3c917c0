// Words out of the system, for people: reasons for errno values, names of processes, kernel limits.
// What a peer chose (a path, a process name) is made printable before anybody sees it: a file name
// may hold line ends and terminal sequences, and logs are one line an event.
internal import CShimsSystem
internal import Glibc

/// Reads what the system says about errors, processes and limits.
enum SystemText {
    /// The user on whose behalf the process acts.
    static var effectiveUID: UInt32 { geteuid() }

    /// The C library's words for an errno, never translated.
    static func reason(_ code: Int32) -> String {
        guard let words = cshims_error_words(code) else { return "error \(code)" }
        return String(cString: words).lowercasedFirst
    }

    /// A kernel limit, for example "net/core/wmem_max"; `nil` where /proc does not tell.
    static func limit(_ name: String) -> Int? {
        guard let bytes = contents("/proc/sys/" + name, capacity: 64) else { return nil }
        return Int(String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace })
    }

    /// The name of a process's program, as its command line starts, else as the kernel calls it.
    static func command(of pid: Int32) -> String? {
        // A path beyond 4 KiB would be cut at its end, where the name is; PATH_MAX rules it out.
        let line = contents("/proc/\(pid)/cmdline", capacity: 4096) ?? []
        let program = line.prefix { $0 != 0 }
        let name = program.split(separator: UInt8(ascii: "/")).last ?? []
        let found = name.isEmpty ? (contents("/proc/\(pid)/comm", capacity: 64) ?? [])[...] : name
        let text = String(decoding: found, as: UTF8.self).trimmingNewline
        return text.isEmpty ? nil : String(text.printable.prefix(64))
    }

    /// The first `capacity` bytes of a file of /proc, which delivers each of these in one read.
    private static func contents(_ path: String, capacity: Int) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { _ = cshims_descriptor_close(file) }
        var length = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            length = read(file, buffer.baseAddress, capacity)
            count = max(0, length)
        }
        return length < 0 ? nil : bytes
    }
}

extension String {
    /// The text with control characters and line ends written out, safe for a log and a terminal.
    var printable: String {
        var text = ""
        for scalar in unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    fileprivate var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }

    fileprivate var trimmingNewline: String { hasSuffix("\n") ? String(dropLast()) : self }
}
