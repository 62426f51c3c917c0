import ArgumentParser
import Control
import Glibc

/// Ends the program: where messages go, and which exit code they get.
enum ProgramExit {
    /// Exit code for wrong usage or configuration.
    static let usage: Int32 = 2

    /// Prints what `error` says and exits: 0 for help and version, 2 for wrong usage or
    /// configuration, 1 for everything that failed while it ran.
    static func leave(after error: any Error) -> Never {
        switch error {
        case let code as ExitCode:
            exit(code.rawValue)
        case let errors as ConfigurationErrors:
            Output.complain("\(errors)")
            exit(usage)
        case let error as AttachError:
            Output.complain("\(error)")
            exit(error.exitCode)
        case ControlClientError.declined(let refusal):
            refusal.messages.forEach(Output.complain)
            exit(refusal.code == .invalidConfiguration ? usage : EXIT_FAILURE)
        case let error as ControlClientError:
            Output.complain("\(error)")
            exit(EXIT_FAILURE)
        default:
            leaveParsing(error)
        }
    }

    /// Ends after what the argument parser threw: help, version, or wrong usage.
    private static func leaveParsing(_ error: any Error) -> Never {
        let code = RingswitchCommand.exitCode(for: error)
        let message = RingswitchCommand.fullMessage(for: error)
        if code.isSuccess {
            try? Output.write(lines: [message])
        } else if !message.isEmpty {
            Output.writeError(message + "\n")
        }
        // The parser's own code for wrong usage is EX_USAGE (64); here it is 2.
        exit(code == .validationFailure ? usage : code.rawValue)
    }
}
