import Testing

@testable import Control

/// What a reload finds changed.
@Suite struct ConfigurationChangeTests {
    private static let before = """
        [[port]]
        name = "vm{n}"
        count = 3
        type = "unixgram"

        [[port]]
        name = "host"
        type = "tap"
        device = "rs0"
        """

    private func change(to text: String) throws -> ConfigurationChange {
        ConfigurationChange(from: try parse(Self.before), to: try parse(text))
    }

    @Test func `nothing changes between equal configurations`() throws {
        let change = try change(to: Self.before)
        #expect(change.isEmpty)
        #expect(change.unchanged.map(\.name) == ["vm1", "vm2", "vm3", "host"])
    }

    @Test func `the order of ports is no change`() throws {
        let change = try change(
            to: """
                [[port]]
                name = "host"
                type = "tap"
                device = "rs0"

                [[port]]
                name = "vm{n}"
                count = 3
                type = "unixgram"
                """)
        #expect(change.isEmpty)
        #expect(change.unchanged.map(\.name) == ["host", "vm1", "vm2", "vm3"])
    }

    @Test func `one key that cannot change live has the port replaced`() throws {
        let live =
            "queue = \"fifo\"\nqueue_bytes = \"2MiB\"\nqueue_target = \"2ms\"\n"
            + "queue_delay = \"1ms\"\nmode = \"0600\"\nowner = 0\ngroup = 0\n"
            + "allow_uids = [0]\nsend_buffer = \"1MiB\"\n"
        let port = "[[port]]\nname = \"vm1\"\ntype = \"unixgram\"\n"
        let before = try parse(port)
        let adapted = ConfigurationChange(from: before, to: try parse(port + live))
        #expect(adapted.replaced.isEmpty && adapted.adapted[0].keys.count == 9)
        #expect(!adapted.isEmpty)
        for key in ["max_frame = 2000", "path = \"other.sock\"", "offload = \"raw\""] {
            let change = ConfigurationChange(from: before, to: try parse(port + live + key))
            #expect(change.adapted.isEmpty && change.replaced.count == 1, "\(key)")
        }
    }

    @Test func `ports are added, removed, adapted, replaced and left alone`() throws {
        let change = try change(
            to: """
                [[port]]
                name = "vm2"
                type = "unixgram"
                mode = "0600"
                queue_delay = "1ms"

                [[port]]
                name = "vm3"
                type = "unixgram"
                mode = "660"
                path = "/run/ringswitch/vm3.sock"

                [[port]]
                name = "vm4"
                type = "unixgram"

                [[port]]
                name = "host"
                type = "unixgram"
                """)
        #expect(change.added.map(\.name) == ["vm4"])
        #expect(change.removed.map(\.name) == ["vm1"])
        #expect(change.unchanged.map(\.name) == ["vm3"])
        #expect(change.adapted.map(\.new.name) == ["vm2"])
        #expect(change.adapted[0].keys == ["queue_delay", "mode"])
        #expect(change.replaced.map(\.new.name) == ["host"])
        #expect(change.replaced[0].keys.prefix(2) == ["type", "offload"])
        #expect(change.replaced[0].old.type == .tap)
        #expect(!change.isEmpty)
    }

    @Test func `another offload replaces the port`() throws {
        let change = try change(
            to: """
                [[port]]
                name = "vm{n}"
                count = 2
                type = "unixgram"

                [[port]]
                name = "vm3"
                type = "unixgram"
                offload = "raw"

                [[port]]
                name = "host"
                type = "tap"
                device = "rs0"
                offload = "none"
                """)
        #expect(change.replaced.map(\.new.name) == ["vm3", "host"])
        #expect(change.replaced[0].keys == ["offload", "max_frame", "queue_bytes"])
        #expect(change.replaced[1].keys == ["offload"])
        #expect(change.unchanged.count == 2 && change.restartKeys.isEmpty)
    }

    @Test func `keys that need a restart are named`() throws {
        let change = try change(
            to: """
                [switch]
                name = "lan1"
                workers = 2
                cpus = [0, 1]
                busy_poll = "20us"
                runtime_dir = "/run/other"
                mac_ageing = "60s"
                mac_limit = 128

                """ + Self.before)
        let keys = [
            "name", "workers", "cpus", "busy_poll", "runtime_dir", "mac_ageing", "mac_limit",
        ]
        #expect(change.restartKeys == keys)
        #expect(change.reloadedKeys.isEmpty)
    }
}
