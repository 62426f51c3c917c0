import Glibc
import SwitchCore
import Testing

@testable import Control

/// What `attach` refuses, and how it says so.
@Suite struct AttachOptionsTests {
    @Test func `ordinary options are accepted`() throws {
        try AttachOptions(socketPath: "/run/vm1.sock").validate()
        try AttachOptions(
            socketPath: "vm1.sock", namespace: "lab-1", mtu: 65_535, device: "eth0.5",
            mac: MACAddress("02:00:00:00:00:01")
        ).validate()
    }

    @Test(arguments: [
        AttachOptions(socketPath: ""),
        AttachOptions(socketPath: String(repeating: "x", count: 108)),
        AttachOptions(socketPath: "s", namespace: "../x"),
        AttachOptions(socketPath: "s", namespace: ""),
        AttachOptions(socketPath: "s", mtu: 67),
        AttachOptions(socketPath: "s", mtu: 65_536),
        AttachOptions(socketPath: "s", device: ""),
        AttachOptions(socketPath: "s", device: "sixteen-bytes-xx"),
        AttachOptions(socketPath: "s", device: "tap%d"),
        AttachOptions(socketPath: "s", device: ".."),
        AttachOptions(socketPath: "s", mac: MACAddress("01:00:5e:00:00:01")),
        AttachOptions(socketPath: "s", mac: MACAddress("00:00:00:00:00:00")),
    ])
    func `options that cannot work are wrong usage`(options: AttachOptions) {
        #expect {
            try options.validate()
        } throws: { error in
            (error as? AttachError)?.exitCode == 2
        }
    }

    @Test func `IPv6 needs the MTU that IPv6 needs`() throws {
        let address = try #require(InterfaceAddress("fd00::1/64"))
        try AttachOptions(socketPath: "s", addresses: [address], mtu: 1280).validate()
        #expect(throws: AttachError.self) {
            try AttachOptions(socketPath: "s", addresses: [address], mtu: 1279).validate()
        }
    }

    @Test func `a refused namespace names the sysctl that forbids it`() {
        func refusal(_ code: Int32, _ sysctls: [String: String]) -> String {
            OwnNamespace.refusal(code: code) { sysctls[$0] }
        }
        #expect(
            refusal(EPERM, ["kernel/unprivileged_userns_clone": "0"])
                .contains("sysctl -w kernel.unprivileged_userns_clone=1"))
        #expect(
            refusal(ENOSPC, ["user/max_user_namespaces": "0"])
                .contains("user.max_user_namespaces = 0"))
        #expect(
            refusal(EPERM, ["kernel/apparmor_restrict_unprivileged_userns": "1"])
                .contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"))
        #expect(refusal(EPERM, [:]).contains("seccomp"))
    }
}
