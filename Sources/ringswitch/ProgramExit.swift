import ArgumentParser
import Control
import Glibc

/// Ends the program: where messages go, and which exit code they get.
enum ProgramExit {
    /// Exit code for wrong usage or configuration.
    private static let usage: Int32 = 2

    /// Prints what `error` says and exits: 0 for help and version, 2 for wrong usage or
    /// configuration, 1 for everything that failed while it ran.
    static func leave(after error: any Error) -> Never {
        switch error {
        case let errors as ConfigurationErrors:
            Output.complain("\(errors)")
            exit(usage)
        case let error as AttachError:
            Output.complain("\(error)")
            exit(error.exitCode)
        case let error as DemoError:
            Output.complain("\(error)")
            exit(error.exitCode)
        case let error as ExecError:
            Output.complain("\(error)")
            exit(error.exitCode)
        case ControlClientError.declined(let refusal):
            refusal.messages.forEach(Output.complain)
            exit(refusal.code == .invalidConfiguration ? usage : EXIT_FAILURE)
        default:
            leaveParser(error)
        }
    }

    /// Ends with what the argument parser makes of `error`; what is not its own gets code 1.
    private static func leaveParser(_ error: any Error) -> Never {
        let code = RingswitchCommand.exitCode(for: error)
        let message = RingswitchCommand.fullMessage(for: error)
        switch code {
        case _ where error is ExitCode: exit(code.rawValue)
        case .success:
            try? Output.write(lines: [message])
            exit(EXIT_SUCCESS)
        case .validationFailure:
            // The parser would exit with EX_USAGE, 64.
            Output.writeError(message + "\n")
            exit(usage)
        default:
            Output.complain("\(error)")
            exit(EXIT_FAILURE)
        }
    }
}
