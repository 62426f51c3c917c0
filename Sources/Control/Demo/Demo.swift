// `ringswitch demo`: the main job in one command.
//
//   host a: namespace <- attach -> port a | switch | port b <- attach -> namespace :host b
//           iperf3 server                                       iperf3 client
//
// Both hosts leave checksums and the cutting up of TCP to others, as libkrun guests with offloading
// do, and their ports are raw: TCP travels in frames of up to 64 KiB, whatever the MTU, and the
// switch completes the checksums.
//
// The switch and the attachments are child processes of this very program, so what is shown is what
// a user would start by hand. Each step waits for a real sign (a socket's file, the switch's word
// that a port has its peer, the server's word that it listens), never for time to pass. The
// counters are read after the hosts have left: then nothing moves any more, and they must add up
// exactly.

import Foundation
import Glibc

/// The subcommand `demo`.
public enum Demo {
    /// Measures TCP between two namespaces through a switch, prints what came out, and removes
    /// everything, also when a signal asks for the end. Blocks SIGINT, SIGTERM and SIGHUP in the
    /// calling thread.
    /// - Returns: 0; 1 where the counters do not add up or something was left behind; 128 + signal
    ///   after a signal.
    /// - Throws: `DemoError`.
    public static func run(_ options: DemoOptions) throws -> Int32 {
        try options.validate()
        guard DemoRun.isInPath("iperf3") else {
            throw DemoError.unfit(
                "iperf3 is not installed; install it with `apt-get install iperf3` as root")
        }
        let narrator = DemoNarrator(isQuiet: options.isJSON)
        do {
            let report = try DemoRun(options, narrator).perform()
            if options.isJSON {
                print(String(decoding: try ReportJSON.encode(report), as: UTF8.self))
            }
            return report.isGood ? 0 : 1
        } catch DemoError.interrupted(let signal) {
            narrator.say("", "  interrupted; everything has been removed")
            return DemoError.interrupted(signal: signal).exitCode
        }
    }
}

/// Tells what happens, on standard output, or on standard error where that is taken by JSON.
struct DemoNarrator {
    private let output: FileHandle

    init(isQuiet: Bool) { output = isQuiet ? .standardError : .standardOutput }

    /// Prints lines at once.
    func say(_ lines: String...) { say(lines) }

    func say(_ lines: [String]) {
        // A reader that has gone away must not keep the demo from cleaning up.
        try? output.write(contentsOf: Data(lines.map { $0 + "\n" }.joined().utf8))
    }
}
