// Ports given by words of a command line: what they mean, and that they are checked like a file.

import Testing

@testable import Control

@Suite struct PortEditTests {
    private static let base = """
        [[port]]
        name = "vm1"
        type = "unixgram"

        [[port]]
        name = "host"
        type = "tap"
        device = "rs0"
        address = ["10.0.0.1/24"]
        """

    private func add(
        _ name: String, _ keys: [String: String], to text: String = base
    ) throws(ConfigurationErrors) -> Configuration {
        try parse(text).adding(PortEdit(name: name, keys: keys), environment: rootEnvironment)
    }

    private func set(
        _ name: String, _ keys: [String: String]
    ) throws(ConfigurationErrors) -> Configuration? {
        try parse(Self.base).setting(
            PortEdit(name: name, keys: keys), environment: rootEnvironment)
    }

    @Test func `words give the same port as a file`() throws {
        let words = try add(
            "vm2",
            [
                "type": "unixgram", "max_frame": "9018", "queue_bytes": "64KiB", "mode": "0600",
                "queue_delay": "2ms", "allow_uids": "root,1000", "owner": "0", "path": "x/y.sock",
            ])
        let file = try parse(
            Self.base + """

                [[port]]
                name = "vm2"
                type = "unixgram"
                max_frame = 9018
                queue_bytes = "64KiB"
                mode = "0600"
                queue_delay = "2ms"
                allow_uids = ["root", 1000]
                owner = 0
                path = "x/y.sock"
                """)
        #expect(words == file)
        let tap = try add(
            "lab",
            [
                "type": "tap", "device": "rs1", "address": "[10.1.0.1/24, fd00::1/64]",
                "persist": "true", "mtu": "9000",
            ])
        #expect(tap.ports[2].maxFrame == 9018)
        guard case .tap(let settings) = tap.ports[2].kind else {
            throw ConfigurationErrors(file: "", "")
        }
        #expect(settings.addresses.count == 2 && settings.persist)
    }

    @Test func `count adds several`() throws {
        let next = try add("lab-{n}", ["type": "unixgram", "count": "3"])
        #expect(next.ports.map(\.name) == ["vm1", "host", "lab-1", "lab-2", "lab-3"])
    }

    @Test(
        arguments: [
            (
                ["type": "unixgram", "mod": "0600"],
                #"mod (port "vm2"): unknown key; did you mean mode?"#
            ),
            (["type": "tap"], #"device (port "vm2"): is missing;"#),
            (
                ["type": "unixgram", "queue_delay": "5 parsecs"],
                #"queue_delay (port "vm2"): "5 parsecs" is not a duration;"#
            ),
            (
                ["type": "unixgram", "max_frame": "-1"],
                #"max_frame (port "vm2"): -1 is out of range; allowed: 64 to 65550 bytes"#
            ),
            (
                ["type": "unixgram", "path": "vm1.sock"],
                #"path (port "vm2"): the path "/run/ringswitch/vm1.sock" is already"#
            ),
            (
                ["type": "tap", "device": "rs1", "address": "10.0.0.1/24"],
                #"address (port "vm2"): the address 10.0.0.1/24 is already that of port.host"#
            ),
            (
                ["type": "tap", "device": "rs1", "persist": "maybe"],
                #"persist (port "vm2"): must be a boolean, not the string "maybe""#
            ),
        ] as [([String: String], String)])
    func `what is wrong is told as for a file`(keys: [String: String], message: String) {
        let error = #expect(throws: ConfigurationErrors.self) { try add("vm2", keys) }
        #expect(error?.errors.count == 1)
        #expect(error?.description.hasPrefix("port add: \(message)") == true, "\(error!)")
    }

    @Test func `a name that is taken, and one port too many, are refused`() {
        let taken = #expect(throws: ConfigurationErrors.self) {
            try add("vm1", ["type": "unixgram", "path": "other.sock"])
        }
        #expect(taken?.description.contains("is already that of port.vm1") == true)
        let full = #expect(throws: ConfigurationErrors.self) {
            try add("lab-{n}", ["type": "unixgram", "count": "1023"])
        }
        #expect(full?.description.contains("makes 1025 ports in all") == true)
    }

    @Test func `keys change, defaults that follow from them follow, and others stay`() throws {
        let raw = try #require(try set("vm1", ["offload": "raw", "mode": "0666"]))
        #expect(raw.ports[0].maxFrame == 65550 && raw.ports[0].queueBytes == 16 << 20)
        #expect(raw.ports[1] == (try parse(Self.base).ports[1]))
        let again = try raw.setting(
            PortEdit(name: "vm1", keys: ["offload": ""]), environment: rootEnvironment)
        #expect(again?.ports[0].maxFrame == 1518)
        guard case .unixgram(let socket)? = again?.ports[0].kind else {
            throw ConfigurationErrors(file: "", "no socket")
        }
        #expect(socket.mode == 0o666)
        let mtu = try #require(try set("host", ["mtu": "9000"]))
        #expect(mtu.ports[1].maxFrame == 9018)
    }

    @Test func `a port that is not there is not changed, and none is renamed`() throws {
        #expect(try set("vm9", ["mode": "0600"]) == nil)
        let error = #expect(throws: ConfigurationErrors.self) { try set("vm1", ["name": "vm2"]) }
        #expect(
            error?.description.hasPrefix(#"port set: name (port "vm1"): cannot change"#) == true)
    }

    @Test(arguments: ["a b", "quote \" and \\ and \n\t", "ü\u{1}\u{2028}", "", "[1, 2]"])
    func `a string is read back from its literal`(text: String) {
        let node = TOMLNode(path: TOMLPath(), literal: TOMLText.quoted(text))
        guard case .string(text) = node.value else {
            Issue.record("\(node.found)")
            return
        }
    }

    // MARK: As little text as gives it

    @Test(arguments: [
        base,
        "[switch]\nworkers = 2\ncpus = [0, 1]\nruntime_dir = \"/r\"\nmac_ageing = \"1m\"\n" + base,
        "[port_defaults]\nqueue_delay = \"2ms\"\nmode = \"0600\"\n" + base,
        """
        [[port]]
        name = "a"
        type = "unixgram"
        offload = "raw"
        path = "/elsewhere/a.sock"
        allow_uids = ["root", 4000000]
        group = 12345
        [[port]]
        name = "b"
        type = "unixgram"
        path = "a.sock"
        max_frame = 9018
        [[port]]
        name = "t"
        type = "tap"
        device = "t0"
        netns = "lab"
        mtu = 9000
        offload = "none"
        queue_bytes = 0
        """,
    ])
    func `what is saved is read as the same configuration`(text: String) throws {
        let configuration = try parse(text)
        let saved = configuration.essentials(environment: rootEnvironment)
        #expect(try parse(saved) == configuration)
        #expect(try parse(saved).essentials(environment: rootEnvironment) == saved)
    }

    @Test func `what is as by default is not written`() throws {
        let saved = try parse(Self.base + "\nmtu = 9000\n").essentials(environment: rootEnvironment)
        #expect(
            saved.split(separator: "\n").filter { !$0.hasPrefix("#") } == [
                "[[port]]", "name = \"vm1\"", "type = \"unixgram\"", "[[port]]",
                "name = \"host\"", "type = \"tap\"", "device = \"rs0\"",
                "address = [\"10.0.0.1/24\"]", "mtu = 9000",
            ])
    }
}
