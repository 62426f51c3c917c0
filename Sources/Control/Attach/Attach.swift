// `ringswitch attach`: a network namespace as a virtual machine.
//
//   namespace                      this process                       switch
//   eth0 (TAP) <== read/write ==> FrameCopier <== sendmmsg/recvmmsg ==> port's socket
//                                 Joiner: bind, connect, "VFKT"; again when the switch returns
//
// With a name the namespace is one of `ip netns`; without one the process moves into a namespace of
// its own (OwnNamespace), for which an ordinary user needs no rights.

import Foundation
import Glibc
import Logging

/// The subcommand `attach`.
public enum Attach {
    /// Joins a namespace to a port and stays until the command in it ends, or a signal asks for the
    /// end. Logs on standard error.
    ///
    /// Without a named namespace the process executes its own program again with the same
    /// arguments, so this is to be called before anything was done that must survive that. Blocks
    /// SIGINT, SIGTERM and SIGHUP in the calling thread.
    /// - Returns: the process's exit code: the command's own, else 0.
    /// - Throws: `AttachError`.
    public static func run(_ options: AttachOptions) throws -> Int32 {
        try options.validate()
        if options.namespace == nil {
            try OwnNamespace.enter()
        } else if geteuid() != 0 {
            throw AttachError.usage(
                "--netns needs root; without it the namespace is one of your own")
        }
        let logger = Logger(label: "attach") { _ in LineLogHandler() }
        let guest = try NamespaceGuest(options, logger: logger)
        let code = try guest.run()
        let report = guest.report
        // A reader that has gone away does not change what the command's exit code is.
        if options.isVerbose {
            try? FileHandle.standardError.write(contentsOf: Data((report.text + "\n").utf8))
        }
        if options.isJSON {
            try? FileHandle.standardOutput.write(contentsOf: Data((try report.json() + "\n").utf8))
        }
        return code
    }
}
