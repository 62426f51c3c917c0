internal import SwitchCore

/// Every key of the configuration: name, type and range, default, meaning.
///
/// Reading, writing, the reference in the README and what a reload may change all follow from these
/// two lists. A new key is a line here and a property in the settings and the configuration; checks
/// that need more than one key are in `PortResolver`.
enum ConfigurationSchema {
    static let switchKeys: [ConfigurationKey<SwitchSettings>] = [
        .init(
            "name", \.name, .name, default: .value("lan0"), effect: .restart,
            "Name of the switch, as `status` shows it and `--switch` takes it."),
        .init(
            "workers", \.workers, .integer(1...64), default: .value(1), effect: .restart,
            "Threads that move frames; each port belongs to one of them."),
        .init(
            "cpus", \.cpus, .list(of: .integer(0...1023)), default: .value([]), effect: .restart,
            "CPU of each worker, in order: as many as `workers`, or none to leave workers unpinned."
        ),
        .init(
            "busy_poll", \.busyPollNanoseconds, .duration(0...1_000_000), default: .value(0),
            effect: .restart,
            "Time for which a worker looks for frames before it sleeps. It saves the microseconds "
                + "of a wake-up and uses its CPU meanwhile; 0 sleeps at once."),
        .init(
            "runtime_dir", \.runtimeDirectory, .directory,
            default: .described(
                "root: `/run/ringswitch`; a user: `$XDG_RUNTIME_DIR/ringswitch`, else "
                    + "`/tmp/ringswitch-UID`"), effect: .restart,
            "Directory of the lock, the control socket and every relative `path`."),
        .init(
            "mac_ageing", \.macAgeing, .seconds(1...500_000), default: .value(300),
            effect: .restart,
            "Time after which a MAC address that was not seen is forgotten; whole seconds."),
        .init(
            "mac_limit", \.macLimit, .integer(64...1_048_576), default: .value(16384),
            effect: .restart,
            "MAC addresses that the switch remembers; one port may fill half of that."),
    ]

    static let portKeys: [ConfigurationKey<PortSettings>] = commonKeys + socketKeys + tapKeys

    private static let commonKeys: [ConfigurationKey<PortSettings>] = [
        .init(
            "name", \.name, .template(.name), default: .required, mayBeDefault: false,
            "Unique name of the port; with `count`, `{n}` in it stands for 1 to `count`."),
        .init(
            "count", \.count, .integer(1...Configuration.portLimit),
            default: .described("one port"),
            mayBeDefault: false,
            "Makes that many ports. `name`, and `path`, `connect` and `device` where given, must "
                + "have `{n}`, but not a `path` that is `shared`; `netns` may."),
        .init(
            "type", \.type, .portType, default: .required,
            "How the port is attached. `unixgram`: a datagram socket, one frame a datagram. "
                + "`stream`: a stream, each frame behind its length (32 bits, big-endian). "
                + "`seqpacket`: a socket of packets, one frame each. `vpnkit`: a stream that "
                + "begins with vpnkit's handshake, lengths of 16 bits, little-endian. `tap`: a "
                + "device."),
        .init(
            "source", \.source, .portSource, default: .described("the switch makes it"),
            "Where the port's socket or device comes from. `handover`: another process passes it "
                + "through `handover.sock`, as `ringswitch exec` and `ringswitch attach-fd` do. "
                + "`inherit`: the first is one that was left open for the switch when it was "
                + "started, and those after it come as with `handover`."),
        .init(
            "fd", \.number, .integer(0...1_048_576),
            default: .described("the one that `LISTEN_FDNAMES` calls as the port"),
            mayBeDefault: false,
            "With `source = \"inherit\"`: number of the descriptor; 0 is standard input."),
        .init(
            "offload", \.offload, .offload,
            default: .described("`\"none\"`; on a `tap` port `\"vnet\"`"),
            "What the peer leaves to others, both ways. `none`: nothing, frames are whole. `vnet` "
                + "(`tap` only): checksums and the cutting up of large frames, as the virtio "
                + "header says. `raw` (not for `tap`, `vpnkit`): the same without a header, for "
                + "libkrun guests with offloading and for no other."),
        .init(
            "max_frame", \.maxFrame, .size(64...Offload.superframeLengthMax),
            default: .described(
                "`1518`; with `offload = \"raw\"` `65550`; on a `tap` port `mtu` + 18"),
            "Longest frame that enters or leaves the port: payload + 14, + 4 with a VLAN tag, no "
                + "FCS. With `vnet` a frame that is still to be cut up counts as its segments. A "
                + "`tap` port needs at least `mtu` + 14."),
        .init(
            "queue", \.queue, .queueOrder, default: .value(.fair), effect: .live,
            "How frames leave that wait for a port that does not take them. `fair`: ports and "
                + "flows in turns, new flows first, and a flow that waits for long is told to slow "
                + "down. `fifo`: as they came."),
        .init(
            "queue_bytes", \.queueBytes, .size(0...(256 << 20)),
            default: .described("`4MiB`; with `offload = \"raw\"` `16MiB`"), effect: .live,
            "Bytes of frames that wait for a port that does not take them; 0 for no queue, else at "
                + "least two frames of `max_frame`, with `vnet` of 65562 bytes."),
        .init(
            "queue_target", \.queueTargetNanoseconds,
            .duration(100_000...TimeSpan.second), default: .value(1_000_000), effect: .live,
            "Time that a flow may wait in a `fair` queue for longer than 20 ms: then single frames "
                + "are marked (ECN) or dropped, the more the longer it lasts. After five times as "
                + "long a frame whose flow heeds marks is marked at once."),
        .init(
            "queue_delay", \.queueDelayNanoseconds,
            .duration(100_000...(10 * TimeSpan.second)), default: .value(50_000_000), effect: .live,
            "Time that a frame may wait in that queue before it is dropped."),
        .init(
            "flood_rate", \.floodRate, .integer(0...10_000_000, unit: " frames a second"),
            default: .value(10_000), effect: .live,
            "Storm control: how many frames of the port's peer may go to all other ports, "
                + "broadcasts and multicasts together, and as many again to addresses that nobody "
                + "has; a tenth of a second's at once. A long frame counts once for every 2 KiB "
                + "begun. The rest is dropped as `storm_limited`; 0: no limit."),
    ]

    private static let socketKeys: [ConfigurationKey<PortSettings>] = [
        .init(
            "path", \.path, .template(.path), default: .described("`<name>.sock`"), only: .sockets,
            isForOpening: true, mayBeDefault: false,
            "Path of the socket, absolute or relative to `runtime_dir`."),
        .init(
            "connect", \.connect, .template(.path),
            default: .described("the port listens on `path`"),
            only: [.unixgram, .stream, .seqpacket], isForOpening: true, mayBeDefault: false,
            "Path of a socket on which the peer listens (not for `vpnkit`): the port connects to "
                + "it, and again whenever the connection ends, 0.1 to 5 seconds later. A "
                + "`unixgram` port is answered at `path`; others have no `path`, `mode`, `owner`, "
                + "`group` and `shared` then."),
        .init(
            "vfkit_magic", \.vfkitMagic, .boolean,
            default: .described("`true` with `connect`"), only: .unixgram, isForOpening: true,
            "Whether a `unixgram` port that connects greets its peer with \"VFKT\", as gvproxy and "
                + "ringswitch know it: then it is attached before there is a frame to send."),
        .init(
            "shared", \.isShared, .boolean, default: .value(false), only: .sockets,
            isForOpening: true,
            "Whether other ports may have the same `path`: each peer is given to the first that is "
                + "free. With `count` one path then serves as many peers."),
        .init(
            "mode", \.mode, .mode, default: .value(0o660), only: .sockets, isForOpening: true,
            effect: .live,
            "Permission bits of the socket: who may write to it may attach."),
        .init(
            "owner", \.owner, .account(.user), default: .described("the user of the switch"),
            only: .sockets, isForOpening: true, effect: .live, "User that the socket is given to."),
        .init(
            "group", \.group, .account(.group), default: .described("the group of the switch"),
            only: .sockets, isForOpening: true, effect: .live,
            "Group that the socket is given to."),
        .init(
            "allow_uids", \.allowUIDs, .list(of: .account(.user)), default: .value([]),
            only: .sockets, isForOpening: true, effect: .live,
            "Users that may attach, by name or number; an empty list leaves it to `mode`."),
        .init(
            "send_buffer", \.sendBuffer, .size((8 << 10)...(1 << 30)), default: .value(4 << 20),
            only: .sockets, effect: .live,
            "Memory of the kernel for frames on their way to the peer: at least `max_frame` + "
                + "8KiB. A frame of 1514 bytes is charged 2304."),
        .init(
            "on_congestion", \.onCongestion, .congestionResponse, default: .value(.drop),
            only: .sockets,
            because: "a device holds nobody back and drops what is not read, so it is always read",
            "What happens when frames of this port's peer wait for a port that does not take them. "
                + "`drop`: what grows too old or finds no room is lost. `pause`: meanwhile the "
                + "peer has to wait, for that port's `queue_delay` at most. For QEMU; **never for "
                + "libkrun, which loses a descriptor for good each time it has to wait**."),
    ]

    private static let tapKeys: [ConfigurationKey<PortSettings>] = [
        .init(
            "device", \.device, .template(.device), default: .required, only: .tap,
            isForOpening: true, mayBeDefault: false,
            "Name of the TAP device, which is made if it is not there."),
        .init(
            "netns", \.netns, .template(.netns), default: .described("the namespace of the switch"),
            only: .tap, isForOpening: true, "Named network namespace that the device is made in."),
        .init(
            "address", \.addresses, .list(of: .address), default: .value([]), only: .tap,
            isForOpening: true,
            "Addresses of the device, each with its prefix length."),
        .init(
            // 65535 less the Ethernet header is what the kernel lets a TAP device have (MAX_MTU in
            // drivers/net/tun.c); 68 is what IPv4 needs (RFC 791).
            "mtu", \.mtu, .integer(68...65521, unit: " bytes"), default: .value(1500), only: .tap,
            "Longest payload of the device; IPv6 needs at least 1280."),
        .init(
            "persist", \.persist, .boolean, default: .value(false), only: .tap, isForOpening: true,
            "Whether the device stays when the switch ends."),
        .init(
            "tx_queue_length", \.txQueueLength, .integer(1...100_000, unit: " frames"),
            default: .value(10000), only: .tap, isForOpening: true, effect: .live,
            "Frames of the host that wait for the switch in the device; the device drops the rest."
        ),
    ]

    /// The key of a port named `name`.
    static func portKey(_ name: String) -> ConfigurationKey<PortSettings>? {
        portKeys.first { $0.name == name }
    }
}
