// Closing a socket so that its peer sees it closed.
//
// A process that is being started has a copy of every descriptor until it executes its program:
// close-on-exec helps from then on. Tests that run beside one another start processes all the time
// (programs, and each exit test is one), so for a moment, long on a busy machine, a socket that was
// closed lives on: a datagram to it is taken, a connection to it succeeds.

import Glibc

/// Closes a descriptor. A UNIX socket has gone when this returns, whoever had a copy of it.
///
/// Not for a socket that was passed on for good, as to another process: its peer would hang.
public func closeForGood(_ descriptor: Int32) {
    var status = stat()
    let isSocket = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    close(descriptor)
    guard isSocket else { return }
    let end = ContinuousClock.now + .seconds(30)
    while isListed(inode: status.st_ino) {
        precondition(ContinuousClock.now < end, "somebody keeps a socket that was closed")
        yieldProcessor()
    }
}

/// Whether the kernel lists a UNIX socket, bound or not, in this process's network namespace.
private func isListed(inode: ino_t) -> Bool {
    guard let file = fopen("/proc/net/unix", "r") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
        let listed = line.withUnsafeBufferPointer { line in
            // Num RefCount Protocol Flags Type St Inode Path
            var word = line.baseAddress
            for _ in 0..<6 {
                word = word.flatMap { strchr($0, 0x20) }.map { UnsafePointer($0 + 1) }
            }
            return word.map { strtoul($0, nil, 10) }
        }
        if let listed, listed == inode { return true }
    }
    return false
}
