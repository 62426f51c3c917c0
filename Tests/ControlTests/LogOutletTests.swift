// The log before a reader that is slow, has stopped, or has gone away.

import Glibc
import Testing

@testable import Control

@Suite("Log outlet")
struct LogOutletTests {
    /// A pipe with room for 4096 bytes: one page.
    private func withPipe(_ body: (_ reading: Int32, _ writing: Int32) throws -> Void) throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        // F_SETPIPE_SZ, which the C library shows to GNU programs only.
        try #require(fcntl(ends[1], 1031, 4096) >= 4096)
        try body(ends[0], ends[1])
    }

    private func drain(_ descriptor: Int32) -> String {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    @Test func `lines that find no room are lost, and told of when there is room again`() throws {
        try withPipe { reading, writing in
            let outlet = LogOutlet(writing)
            let line = String(repeating: "x", count: 4095) + "\n"
            outlet.write(line)
            for _ in 0..<5 { outlet.write("lost\n") }
            #expect(drain(reading) == line)
            outlet.write("seen\n")
            #expect(
                drain(reading)
                    == "warning 5 lines of the log lost: nobody read them\nseen\n")
            outlet.write("seen again\n")
            #expect(drain(reading) == "seen again\n")
        }
    }

    @Test func `a line that was cut short gets its end`() throws {
        try withPipe { reading, writing in
            let outlet = LogOutlet(writing)
            outlet.write(String(repeating: "x", count: 5000) + "\n")
            #expect(drain(reading) == String(repeating: "x", count: 4096))
            outlet.write("seen\n")
            #expect(
                drain(reading)
                    == "\nwarning 1 line of the log lost: nobody read them\nseen\n")
        }
    }

    @Test func `a reader that has gone away is not waited for`() throws {
        try withPipe { reading, writing in
            signal(SIGPIPE, SIG_IGN)
            let outlet = LogOutlet(writing)
            let nothing = open("/dev/null", O_RDWR)
            dup2(nothing, reading)
            close(nothing)
            outlet.write("nobody hears\n")
        }
    }
}
