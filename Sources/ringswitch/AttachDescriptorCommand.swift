import ArgumentParser
import Control

/// `ringswitch attach-fd`: an open descriptor becomes a port.
struct AttachDescriptorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach-fd",
        abstract: "Give an open descriptor to the switch: a socket's or a TAP device's.",
        discussion: """
            The descriptor is one end of a pair of UNIX datagram sockets, or a TAP device. A port \
            of that name with `source` in its configuration takes it as it is configured. Any \
            other name makes a port with these keys, which goes when the other end is closed, or \
            when the device is deleted.

            EXAMPLES
              ringswitch attach-fd --port vm5 --fd 5
              ringswitch attach-fd --port host --fd 4 max_frame=9018
            """)

    @OptionGroup var target: SwitchOptions

    @Option(help: "Name of the port.")
    var port: String

    @Option(help: ArgumentHelp("Number of the descriptor.", valueName: "number"))
    var fd: Int32

    @OptionGroup var words: PortKeys

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let edit = PortEdit(name: port, keys: try words.keys())
        let attachment = try DescriptorGift(edit, to: target.client()).attach(fd)
        if json { return try Output.write(json: attachment) }
        let life = attachment.isTransient ? ", until its peer has gone" : ""
        try Output.write("attached: \(attachment.port) (\(attachment.type))\(life)\n")
    }
}

/// `ringswitch exec`: a program whose descriptor 3 is a port.
struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a program that has a port of the switch as its descriptor 3.",
        discussion: """
            Makes a pair of UNIX datagram sockets, gives one end to the switch and becomes the \
            program, which finds the other as descriptor 3 and the number in RINGSWITCH_FD. No \
            path is involved, so nobody else can attach in its place, and switch and program need \
            to see no common directory. A port of that name with `source` in its configuration \
            takes the socket as it is configured; any other name makes a port with these keys, \
            which goes when the program has ended.

            EXAMPLES
              ringswitch exec --port vm5 -- qemu-system-x86_64 ... \\
                  -netdev dgram,id=n0,local.type=fd,local.str=3 -device virtio-net-pci,netdev=n0
              ringswitch exec --port vm6 offload=raw -- krunkit ... \\
                  --device virtio-net,type=unixgram,fd=3,mac=52:54:00:00:00:06,offloading=on
            """)

    @OptionGroup var target: SwitchOptions

    @Option(help: "Name of the port.")
    var port: String

    @Argument(
        help: ArgumentHelp(
            "Keys of [[port]] and their values (KEY=VALUE), then `--`, a program and its "
                + "arguments.", valueName: "words"))
    var words: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("a program is missing: ... -- COMMAND") }
    }

    func run() throws {
        let keys = try PortKeys.parse(words.prefix { $0.contains("=") })
        let edit = PortEdit(name: port, keys: keys)
        try DescriptorGift(edit, to: target.client()).exec(command)
    }

    /// The parser tells words before `--` from those after it by nothing; no program has "=" in its
    /// name.
    private var command: [String] { Array(words.drop { $0.contains("=") }) }
}
