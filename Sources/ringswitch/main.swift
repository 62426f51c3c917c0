// Parses the command line, runs one subcommand, ends with its exit code.
//
// The start is synchronous on purpose: `attach` and `demo` move into a new user namespace, which
// the kernel grants only to a process of one thread, and an asynchronous main starts another at
// once.

import ArgumentParser
import Control

StandardStreams.fill()
do {
    var command = try RingswitchCommand.parseAsRoot()
    try command.run()
} catch {
    ProgramExit.leave(after: error)
}
