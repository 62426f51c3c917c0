// What was left open for the switch when it was started: by number, and by systemd's protocol.

import Control
import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `source = "inherit"`.
    @Suite("Inherited descriptors")
    struct Inherited {
        /// Becomes the switch with one end of a pair of sockets as standard input and one end of
        /// another as descriptor 3, named `named`. A child has the other ends and sends back what
        /// comes.
        private static let launcher = """
            use Socket;
            use POSIX ();
            $^F = 100;
            socketpair(my $a, my $b, AF_UNIX, SOCK_DGRAM, 0) or die "socketpair: $!";
            socketpair(my $c, my $d, AF_UNIX, SOCK_DGRAM, 0) or die "socketpair: $!";
            if (!fork()) {
                close($a);
                close($c);
                while (1) {
                    my $set = "";
                    vec($set, fileno($_), 1) = 1 for $b, $d;
                    select($set, undef, undef, undef);
                    for my $end ($b, $d) {
                        next unless vec($set, fileno($end), 1);
                        recv($end, my $frame, 65536, 0);
                        # Only what is for the machine, whose address ends with the number.
                        my $own = $end == $b ? "\\2\\0\\0\\0\\0\\x20" : "\\2\\0\\0\\0\\0\\x23";
                        next unless substr($frame, 0, 6) eq $own;
                        send($end, substr($frame, 6, 6) . $own . substr($frame, 12), 0);
                    }
                }
            }
            my ($left, $named) = (fileno($a), fileno($c));
            my $safe = POSIX::dup($named);
            POSIX::dup2($left, 0);
            POSIX::dup2($safe, 3);
            POSIX::close($_) for grep { $_ > 3 } 4 .. 20;
            @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, 1, "named");
            exec @ARGV or die "exec: $!";
            """

        @Test
        func `ports have what was left open for them`() async throws {
            let lan = try await SwitchProcess(
                """
                [[port]]
                name = "a"
                type = "unixgram"

                [[port]]
                name = "left"
                type = "unixgram"
                source = "inherit"
                fd = 0

                [[port]]
                name = "named"
                type = "unixgram"
                source = "inherit"
                """, under: ["perl", "-e", Self.launcher])
            let a = try lan.peer("a", 1)
            try await lan.allAttached()
            for mac in ["02:00:00:00:00:20", "02:00:00:00:00:23"] {
                let question = a.frame(to: mac, number: 1)
                try a.send(question)
                #expect(try await a.receive().source == mac)
            }
            // Once used, a number means nothing any more.
            let again = try await lan.command(
                "port", "add", "b", "--type", "unixgram", "source=inherit", "fd=3")
            #expect(!again.isSuccess)
            #expect(again.standardError.contains("a port has had it"), "\(again.standardError)")
            try await lan.stop()
        }

        @Test func `a switch that was not left what its file says does not start`() async throws {
            let directory = try TemporaryDirectory()
            for (key, words) in [("fd = 7", "with the number 7"), ("", "LISTEN_FDNAMES")] {
                let file = try directory.write(
                    """
                    [switch]
                    runtime_dir = "\(directory.path)"
                    [[port]]
                    name = "a"
                    type = "unixgram"
                    source = "inherit"
                    \(key)
                    """, to: "lan.toml")
                let result = try await ChildProcess.run([
                    SwitchProcess.executable, "run", "--config", file,
                ])
                #expect(result.ending == .exited(1))
                #expect(result.standardError.contains(words), "\(result.standardError)")
            }
        }
    }
}
