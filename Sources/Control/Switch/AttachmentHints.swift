internal import Glibc

/// Tells a person who started a switch without a file how to attach virtual machines to it.
enum AttachmentHints {
    /// Prints to standard output.
    static func print(_ configuration: Configuration) {
        Swift.print(text(configuration))
        fflush(nil)
    }

    static func text(_ configuration: Configuration) -> String {
        let paths = configuration.ports.compactMap { port -> (name: String, path: String)? in
            guard case .unixgram(let unixgram) = port.kind else { return nil }
            return (port.name, unixgram.path)
        }
        guard let first = paths.first else { return "" }
        let list = paths.map { "  \($0.name)  \($0.path)" }.joined(separator: "\n")
        return """
            Ports, one virtual machine each:
            \(list)

            QEMU:     qemu-system-x86_64 ... \
            -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01 \\
                        -netdev dgram,id=n0,local.type=unix,\
            local.path=/tmp/qemu-\(first.name).sock,\
            remote.type=unix,remote.path=\(first.path)
            libkrun:  krun_add_net_unixgram(ctx, "\(first.path)", -1, mac, 0, NET_FLAG_VFKIT)
            krunkit:  krunkit ... \
            --device virtio-net,type=unixgram,path=\(first.path),\
            mac=52:54:00:00:00:01,offloading=off,vfkitMagic=on
            A namespace, to try it:  \
            ringswitch attach \(first.path) --address 192.168.127.2/24 -- bash

            Guests with offloads need a port with offload = "raw", which takes a configuration file.
            Give every machine a MAC address of its own. \
            `ringswitch status` shows who is attached; Ctrl-C ends the switch.
            """
    }
}
