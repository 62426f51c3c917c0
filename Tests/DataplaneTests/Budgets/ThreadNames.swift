// Threads by name, whose allocations a budget counts.

import Glibc
import Testing

/// The kernel's id of the thread of this process with a name.
func thread(named name: String) throws -> Int32 {
    let directory = try #require(opendir("/proc/self/task"))
    defer { closedir(directory) }
    while let entry = readdir(directory) {
        let id = withUnsafeBytes(of: entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        var text = [UInt8](repeating: 0, count: 32)
        let file = open("/proc/self/task/\(id)/comm", O_RDONLY)
        guard file >= 0 else { continue }
        let count = max(0, read(file, &text, text.count))
        close(file)
        if String(decoding: text.prefix(count), as: UTF8.self) == name + "\n",
            let number = Int32(id)
        {
            return number
        }
    }
    throw CancellationError()
}
