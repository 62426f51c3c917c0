import ArgumentParser
import Control

/// The program itself: its manual page, and its subcommands.
struct RingswitchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ringswitch",
        abstract: "An Ethernet switch for virtual machines, in user space on io_uring.",
        discussion: """
            Virtual machines (libkrun, krunkit, QEMU) attach to ports that are UNIX datagram \
            sockets; the host and other networks attach through TAP devices. The switch learns \
            where addresses are, forwards, floods what it does not know, and counts every frame \
            that it drops under one reason. A port that stops reading delays no other port.

            EXAMPLES
              ringswitch demo                      iperf3 between two namespaces
              ringswitch run                       four ports in the runtime directory
              ringswitch run --config lan.toml     the ports of a file
              ringswitch check --config lan.toml   what the file means, or its errors
              ringswitch status --watch            rates, queues, drops, every second
              ringswitch macs --port vm1           what was learned on a port
              ringswitch events                    what happens, as lines of JSON
              ringswitch reload                    apply the changed file
              ringswitch port add vm5 --type unixgram
              ringswitch save                      what runs now, into the file
              ringswitch attach /run/ringswitch/vm1.sock --address 10.0.0.2/24 -- bash
              ringswitch exec --port vm6 -- qemu-system-x86_64 ...
              curl --unix-socket /run/ringswitch/control.sock http://ringswitch/metrics

            FILES
              /etc/ringswitch/ringswitch.toml
                  Configuration that root reads when no file is given.
              $XDG_CONFIG_HOME/ringswitch/ringswitch.toml
                  The same for users; $HOME/.config where the variable is not set.
              /run/ringswitch/
                  Runtime directory of root: sockets and state of a running switch.
              $XDG_RUNTIME_DIR/ringswitch/, else /tmp/ringswitch-UID/
                  Runtime directory of users.
              control.sock in the runtime directory
                  HTTP for all commands, and metrics; private to the user.
              handover.sock in the runtime directory
                  Takes descriptors from `exec` and `attach-fd`, and carries those of a
                  takeover; private to the user.
              lock in the runtime directory
                  Held by the switch that uses the directory.

            SIGNALS
              SIGINT, SIGTERM    end: sockets and devices are removed, exit code 0;
                                 again, a second or more later: end at once, exit code 1;
                                 where a service manager keeps descriptors, connections stay
              SIGHUP             reload, as `ringswitch reload` does

            EXIT CODES
              0    done
              1    failed while running
              2    wrong usage or configuration
            """,
        version: "ringswitch \(Version.current)",
        subcommands: [
            RunCommand.self, CheckCommand.self, StatusCommand.self, MACsCommand.self,
            EventsCommand.self, ReloadCommand.self, PortCommand.self, SaveCommand.self,
            AttachCommand.self, AttachDescriptorCommand.self, ExecCommand.self, DemoCommand.self,
        ])
}
