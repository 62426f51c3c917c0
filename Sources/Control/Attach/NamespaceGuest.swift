// A namespace that plays a virtual machine: device, connection, copier and, maybe, a program in it.
// This thread does nothing but wait, for signals, for the program's end and for the connection's
// needs.

import CShimsSystem
import Glibc
import Logging

/// One run of `attach`, from the namespace to its end.
///
/// Not thread-safe.
final class NamespaceGuest {
    private let options: AttachOptions
    private let logger: Logger
    private let signals: SignalInlet
    private let namespace: NamedNamespace?
    private let device: GuestDevice
    private let joiner: Joiner
    private let copier: FrameCopier

    /// Sets everything up and joins the port. What was made is taken away again on failure.
    init(_ options: AttachOptions, logger: Logger) throws(AttachError) {
        self.options = options
        self.logger = logger
        do throws(SystemFailure) {
            signals = try SignalInlet()
            namespace = try options.namespace.map { name throws(SystemFailure) in
                try NamedNamespace(name)
            }
        } catch {
            throw AttachError(error)
        }
        // The device is up before the port is joined: a switch that sees its peer may rely on it.
        device = try GuestDevice(options)
        do throws(SystemFailure) {
            joiner = try Joiner(portPath: options.socketPath, logger: logger)
            copier = try FrameCopier(
                device: device.descriptor, socket: joiner.descriptor, state: joiner.state,
                shape: options.offload ? .offloaded : .whole(mtu: options.mtu))
        } catch {
            throw AttachError(error)
        }
        try joiner.join()
    }

    /// Copies frames until the program has ended or a signal asks for the end.
    /// - Returns: the program's exit code; 0 after a signal.
    func run() throws(AttachError) -> Int32 {
        defer { copier.stop() }
        do throws(SystemFailure) {
            try copier.start()
            let program = try startProgram()
            return try attend(program)
        } catch {
            throw AttachError(error)
        }
    }

    /// What the copier did so far.
    var report: AttachReport {
        AttachReport(
            toSwitch: copier.uplinkCounters.snapshot, fromSwitch: copier.downlinkCounters.snapshot,
            deviceQueueFull: device.queueFullDrops, joins: joiner.joinCount,
            effectiveSendBuffer: joiner.effectiveSendBuffer)
    }

    /// Starts what is to run in the namespace: the command, or a shell where a person sits.
    private func startProgram() throws(SystemFailure) -> ChildProcess? {
        var arguments = options.command
        if arguments.isEmpty, options.namespace == nil, isatty(0) == 1 {
            arguments = [getenv("SHELL").map { String(cString: $0) } ?? "/bin/sh"]
        }
        if arguments.isEmpty { return nil }
        let entrance = try namespace?.open() ?? -1
        defer { if entrance >= 0 { _ = cshims_descriptor_close(entrance) } }
        return try ChildProcess(
            ChildProcess.Request(arguments: arguments, networkNamespace: entrance))
    }

    private func attend(_ program: ChildProcess?) throws(SystemFailure) -> Int32 {
        let clock = ContinuousClock()
        var nextAttention = clock.now
        while true {
            let left = (nextAttention - clock.now) / .milliseconds(1)
            let ready = Waiting.forReadable(
                [signals.descriptor, copier.attentionDescriptor, program?.descriptor ?? -1],
                milliseconds: Int32(max(0, left.rounded(.up))))
            if ready[2], let code = program?.wait(milliseconds: 0) { return code }
            if ready[0], let signal = signals.take(), obey(signal, program) { return 0 }
            if ready[1], let code = copier.takeAttention() {
                throw SystemFailure(what: "the device \(options.device) is gone", code: code)
            }
            if ready[1] || clock.now >= nextAttention {
                nextAttention = clock.now + .milliseconds(joiner.attend())
            }
        }
    }

    /// - Returns: whether the run is over.
    private func obey(_ signal: SignalInlet.Arrival, _ program: ChildProcess?) -> Bool {
        guard let program else { return true }
        // The program decides; what the terminal sent, it has got already.
        if !signal.isFromTerminal { program.signal(signal.number) }
        return false
    }
}
