import CShimsSystem
import Foundation
import Glibc
import Testing

@testable import Control

/// Children, named namespaces, and `attach` as a whole where this process may make them.
@Suite(.serialized, .timeLimit(.minutes(5))) struct AttachNamespaceTests {
    @Test func `a child's exit code, signal and absence are told apart`() throws {
        func code(_ script: String) throws -> Int32? {
            try ChildProcess(.init(arguments: ["sh", "-c", script])).wait(milliseconds: 10_000)
        }
        #expect(try code("exit 7") == 7)
        #expect(try code("kill -TERM $$") == 128 + SIGTERM)
        #expect {
            _ = try ChildProcess(.init(arguments: ["/nonexistent/program"]))
        } throws: { error in
            "\(error)" == "cannot run /nonexistent/program: no such file or directory"
        }
    }

    @Test func `a child that does not want to end is made to, with its whole group`() throws {
        let pipe = Pipe()
        let child = try ChildProcess(
            .init(
                arguments: ["sh", "-c", "trap '' TERM; echo ready; sleep 1000"],
                output: pipe.fileHandleForWriting.fileDescriptor, hasOwnProcessGroup: true))
        try pipe.fileHandleForWriting.close()
        #expect(try pipe.fileHandleForReading.read(upToCount: 5) == Data("ready".utf8))
        #expect(child.end(graceMilliseconds: 50) == 128 + SIGKILL)
        // The sleeping grandchild held the pipe; its end closes it.
        #expect(try pipe.fileHandleForReading.readToEnd() == Data("\n".utf8))
    }

    @Test(.enabled(if: mayMakeNamespaces))
    func `a named namespace that was made is removed, one that was there stays`() throws {
        let name = "rs-test-\(getpid())"
        var first: NamedNamespace? = try NamedNamespace(name)
        let path = try #require(first?.path)
        var second: NamedNamespace? = try NamedNamespace(name)
        withExtendedLifetime(second) {}
        second = nil
        #expect(FileManager.default.fileExists(atPath: path))
        first = nil
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test(.enabled(if: mayMakeNamespaces))
    func `a command runs in the namespace with the device up, and gives its exit code`() throws {
        let directory = TemporaryDirectory()
        let port = try PlayedPort(path: directory.path + "/port.sock")
        let name = "rs-test-run-\(getpid())"
        let script = """
            cd /sys/class/net/guest0 || exit 1
            [ "$(cat tx_queue_len)" = 10000 ] || exit 2
            [ "$(cat mtu)" = 1400 ] || exit 3
            [ "$(cat operstate)" != down ] || exit 4
            [ -e ../lo ] || exit 5
            exit 42
            """
        let options = AttachOptions(
            socketPath: directory.path + "/port.sock", namespace: name,
            addresses: [try #require(InterfaceAddress("10.1.2.3/24"))], mtu: 1400,
            device: "guest0", command: ["sh", "-c", script])
        // Attach blocks signals in its thread, so it gets one of its own.
        final class Outcome: @unchecked Sendable {
            // Written by the thread before it ends, read after the join.
            var result: Result<Int32, any Error> = .success(-1)
        }
        let outcome = Outcome()
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            outcome.result = Result { try Attach.run(options) }
            done.signal()
        }
        #expect(port.receive() == Array("VFKT".utf8))
        done.wait()
        #expect(try outcome.result.get() == 42)
        #expect(!FileManager.default.fileExists(atPath: "/run/netns/\(name)"))
    }
}
