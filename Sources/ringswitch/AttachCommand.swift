import ArgumentParser
import Control

/// `ringswitch attach`: a network namespace in the place of a virtual machine.
struct AttachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Join a network namespace to a port, as a virtual machine would join.",
        discussion: """
            Makes a TAP device in a namespace and carries its frames to the port and back, joining \
            as libkrun joins. It joins again by itself when the switch comes back. With a command, \
            the command runs in the namespace and its exit code is the program's; without one, \
            the namespace lasts until SIGINT or SIGTERM, or a shell starts in it where standard \
            input is a terminal and --netns is not given. Users need no privileges but access to \
            /dev/net/tun: without --netns the namespace is one of the program's own.

            EXAMPLES
              ringswitch attach vm1.sock --address 10.0.0.2/24 -- ping -c 3 10.0.0.1
              sudo ringswitch attach vm1.sock --netns lab --address 10.0.0.2/24
            """)

    @Argument(help: ArgumentHelp("Path of the port's socket.", valueName: "socket"))
    var socket: String

    @Option(
        help: ArgumentHelp(
            "Put the device into this named network namespace (root only).", valueName: "name"))
    var netns: String?

    @Option(
        help: ArgumentHelp(
            "Address and prefix length of the device; may be given several times.",
            valueName: "cidr"),
        transform: { text in
            guard let address = InterfaceAddress(text) else {
                throw ValidationError("'\(text)' is no address with a prefix length")
            }
            return address
        })
    var address: [InterfaceAddress] = []

    @Option(help: ArgumentHelp("Largest payload of a frame.", valueName: "bytes"))
    var mtu = 1500

    @Option(help: ArgumentHelp("Name of the device in the namespace.", valueName: "name"))
    var device = "eth0"

    @Option(
        help: ArgumentHelp("Hardware address of the device; else a random one.", valueName: "mac"))
    var mac: String?

    @Flag(
        help: ArgumentHelp(
            "Leave checksums and the cutting up of large TCP frames to the switch, as a libkrun "
                + "guest with offloading does. The port must have offload = \"raw\"."))
    var offload = false

    @Flag(help: "Print counters to standard output as JSON at the end.")
    var json = false

    @Flag(help: "Print counters to standard error at the end.")
    var verbose = false

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("Program to run in the namespace, after `--`.", valueName: "command"))
    var command: [String] = []

    func run() throws {
        var options = AttachOptions(
            socketPath: socket, namespace: netns, addresses: address, mtu: mtu, device: device,
            offload: offload, command: command, isJSON: json, isVerbose: verbose)
        if let mac, !options.setMAC(mac) {
            throw ValidationError("'\(mac)' is no unicast address such as 52:54:00:00:00:01")
        }
        throw ExitCode(try Attach.run(options))
    }
}
