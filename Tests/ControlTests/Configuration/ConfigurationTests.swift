import SwitchCore
import Testing

@testable import Control

/// What a configuration that is right says: defaults, units, numbered ports, the way back to text.
@Suite struct ConfigurationTests {
    /// One port of each kind, with nothing but what must be given.
    private static let least = """
        [[port]]
        name = "vm1"
        type = "unixgram"

        [[port]]
        name = "host"
        type = "tap"
        device = "rs0"
        """

    /// Every key, with a value that is not its default.
    private static let full = #"""
        [switch]
        name = "lab"
        workers = 2
        cpus = [3, 2]
        busy_poll = "50us"
        runtime_dir = "/srv//switch/./"
        mac_ageing = "2m"
        mac_limit = 1024

        [port_defaults]
        queue = "fifo"
        queue_target = "2ms"
        queue_delay = "500us"

        [[port]]
        name = "vm-{n}"
        count = 2
        type = "unixgram"
        path = "/tmp/\"vm\" {n}/é.sock"
        mode = "600"
        owner = "root"
        group = 4294967294
        allow_uids = ["root", 4000000000]
        offload = "raw"
        max_frame = 65000
        send_buffer = "16MB"
        on_congestion = "pause"
        queue_bytes = 0

        [[port]]
        name = "host"
        type = "tap"
        device = "rs0"
        netns = "lab"
        address = ["192.168.127.1/24", "FD00:0::1/64"]
        offload = "none"
        mtu = 9000
        max_frame = "16KiB"
        persist = true
        tx_queue_length = 500
        queue_bytes = 100000
        queue_delay = "1s"
        """#

    @Test func `a switch has its stated defaults`() throws {
        let configuration = try parse(Self.least)
        #expect(configuration.name == "lan0")
        #expect(configuration.workers == 1)
        #expect(configuration.cpus == [])
        #expect(configuration.busyPollNanoseconds == 0)
        #expect(configuration.macAgeing == 300)
        #expect(configuration.macLimit == 16384)
        #expect(configuration.runtimeDirectory == "/run/ringswitch")
    }

    @Test func `a unixgram port has its stated defaults`() throws {
        let port = try parse(Self.least).ports[0]
        #expect(port.name == "vm1")
        #expect(port.type == .unixgram)
        #expect(port.offload == .none)
        #expect(port.maxFrame == 1518)
        #expect(port.queueBytes == 4 << 20)
        #expect(port.queue == .fair)
        #expect(port.queueTargetNanoseconds == 1_000_000)
        #expect(port.queueDelayNanoseconds == 50_000_000)
        let socket = PortConfiguration.Unixgram(
            path: "/run/ringswitch/vm1.sock", mode: 0o660, owner: nil, group: nil, allowUIDs: [],
            sendBuffer: 4 << 20, onCongestion: .drop)
        #expect(port.kind == .unixgram(socket))
    }

    @Test func `a TAP port has its stated defaults`() throws {
        let port = try parse(Self.least).ports[1]
        #expect(port.type == .tap)
        #expect(port.offload == .vnet)
        #expect(port.maxFrame == 1518)
        let tap = PortConfiguration.TAP(
            device: "rs0", netns: nil, addresses: [], mtu: 1500, persist: false,
            txQueueLength: 10000)
        #expect(port.kind == .tap(tap))
    }

    @Test func `every key is read`() throws {
        let configuration = try parse(Self.full)
        #expect(configuration.name == "lab")
        #expect(configuration.workers == 2)
        #expect(configuration.cpus == [3, 2])
        #expect(configuration.busyPollNanoseconds == 50_000)
        #expect(configuration.macAgeing == 120)
        #expect(configuration.macLimit == 1024)
        #expect(configuration.runtimeDirectory == "/srv/switch")
        #expect(configuration.ports.map(\.name) == ["vm-1", "vm-2", "host"])
        let vm = configuration.ports[1]
        #expect(vm.offload == .raw)
        #expect(vm.maxFrame == 65000)
        #expect(vm.queueBytes == 0)
        #expect(vm.queue == .fifo)
        #expect(vm.queueTargetNanoseconds == 2_000_000)
        #expect(vm.queueDelayNanoseconds == 500_000)
        let socket = PortConfiguration.Unixgram(
            path: "/tmp/\"vm\" 2/é.sock", mode: 0o600, owner: 0,
            group: 4_294_967_294, allowUIDs: [0, 4_000_000_000], sendBuffer: 16_000_000,
            onCongestion: .pause)
        #expect(vm.kind == .unixgram(socket))
        let host = configuration.ports[2]
        #expect(host.offload == .none)
        #expect(host.maxFrame == 16384)
        #expect(host.queueBytes == 100_000)
        #expect(host.queueDelayNanoseconds == 1_000_000_000)
        let addresses = ["192.168.127.1/24", "fd00::1/64"].compactMap { InterfaceAddress($0) }
        let tap = PortConfiguration.TAP(
            device: "rs0", netns: "lab", addresses: addresses, mtu: 9000, persist: true,
            txQueueLength: 500)
        #expect(host.kind == .tap(tap))
    }

    @Test func `a port's own key goes before the default of all ports`() throws {
        let configuration = try parse(
            """
            [port_defaults]
            type = "unixgram"
            max_frame = 9018
            mtu = 9000

            [[port]]
            name = "a"

            [[port]]
            name = "b"
            max_frame = 1518

            [[port]]
            name = "c"
            type = "tap"
            device = "c"
            """)
        #expect(configuration.ports.map(\.maxFrame) == [9018, 1518, 9018])
        #expect(configuration.ports.map(\.type) == [.unixgram, .unixgram, .tap])
    }

    @Test(arguments: [(68, 86), (1500, 1518), (9000, 9018), (65521, 65539)])
    func `a TAP port takes tagged frames of its MTU by default`(mtu: Int, maxFrame: Int) throws {
        let configuration = try parse(
            "[[port]]\nname = \"a\"\ntype = \"tap\"\ndevice = \"a\"\nmtu = \(mtu)\n")
        #expect(configuration.ports[0].maxFrame == maxFrame)
    }

    @Test func `a raw port takes by default the longest frame that a guest may send`() throws {
        let configuration = try parse(
            """
            [port_defaults]
            offload = "raw"

            [[port]]
            name = "a"
            type = "unixgram"

            [[port]]
            name = "b"
            type = "unixgram"
            max_frame = 9018

            [[port]]
            name = "c"
            type = "unixgram"
            offload = "none"
            """)
        #expect(configuration.ports.map(\.offload) == [.raw, .raw, .none])
        #expect(configuration.ports.map(\.maxFrame) == [65550, 9018, 1518])
    }

    @Test func `a queue that is just long enough for two large frames is taken`() throws {
        let configuration = try parse(
            """
            [[port]]
            name = "a"
            type = "unixgram"
            offload = "raw"
            queue_bytes = 131100

            [[port]]
            name = "b"
            type = "tap"
            device = "b"
            queue_bytes = 131124

            [[port]]
            name = "c"
            type = "tap"
            device = "c"
            queue_bytes = 0
            """)
        #expect(configuration.ports.map(\.queueBytes) == [131_100, 131_124, 0])
    }

    @Test func `count numbers names, paths, devices and namespaces from one`() throws {
        let configuration = try parse(
            """
            [[port]]
            name = "lab-{n}"
            count = 16
            type = "unixgram"

            [[port]]
            name = "t{n}"
            count = 2
            type = "tap"
            device = "rs{n}"
            netns = "guest-{n}"
            address = ["10.0.0.1/24"]
            """)
        #expect(configuration.ports.count == 18)
        #expect(configuration.ports[0].name == "lab-1")
        guard case .unixgram(let socket) = configuration.ports[15].kind,
            case .tap(let tap) = configuration.ports[17].kind
        else {
            Issue.record("the kinds of the ports are mixed up")
            return
        }
        #expect(socket.path == "/run/ringswitch/lab-16.sock")
        #expect(tap.device == "rs2")
        #expect(tap.netns == "guest-2")
    }

    @Test func `a switch has up to 1024 ports`() throws {
        let configuration = try parse(
            """
            port = [
              { name = "a{n}", count = 1023, type = "unixgram" },
              { name = "b", type = "unixgram" },
            ]
            """)
        #expect(configuration.ports.count == Configuration.portLimit)
    }

    @Test func `the longest path of a socket is taken`() throws {
        let path = "/" + String(repeating: "p", count: Configuration.socketPathLimit - 1)
        let configuration = try parse(
            "[[port]]\nname = \"a\"\ntype = \"unixgram\"\npath = \"\(path)\"\n")
        guard case .unixgram(let socket) = configuration.ports[0].kind else { return }
        #expect(socket.path == path)
    }

    @Test(arguments: [least, full])
    func `what is printed reads as the same configuration`(text: String) throws {
        let configuration = try parse(text)
        let elsewhere = ConfigurationEnvironment(
            userID: 1000, variables: ["XDG_RUNTIME_DIR": "/run/user/1000"])
        let again = try Configuration.parse(
            text: configuration.toml, fileName: "printed.toml", environment: elsewhere)
        #expect(again == configuration)
        #expect(again.toml == configuration.toml)
    }

    @Test func `what is printed is a file as a person would write it`() throws {
        #expect(
            try parse(Self.least).toml == """
                [switch]
                name = "lan0"
                workers = 1
                cpus = []
                busy_poll = "0us"
                runtime_dir = "/run/ringswitch"
                mac_ageing = "5m"
                mac_limit = 16384

                [[port]]
                name = "vm1"
                type = "unixgram"
                offload = "none"
                max_frame = 1518
                queue = "fair"
                queue_bytes = "4MiB"
                queue_target = "1ms"
                queue_delay = "50ms"
                flood_rate = 10000
                path = "/run/ringswitch/vm1.sock"
                shared = false
                mode = "0660"
                allow_uids = []
                send_buffer = "4MiB"
                on_congestion = "drop"

                [[port]]
                name = "host"
                type = "tap"
                offload = "vnet"
                max_frame = 1518
                queue = "fair"
                queue_bytes = "4MiB"
                queue_target = "1ms"
                queue_delay = "50ms"
                flood_rate = 10000
                device = "rs0"
                address = []
                mtu = 1500
                persist = false
                tx_queue_length = 10000

                """)
    }
}
