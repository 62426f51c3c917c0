import Glibc

/// Cleans up after a test process that dies without doing so itself.
///
/// A shell holds the list of what is alive and reads from this process. However this process ends,
/// its end of the stream ends with it, and the shell kills and removes what is left.
/// Thread safety: a line is sent as one message, which the kernel keeps whole.
final class Guardian: Sendable {
    /// Something that must not outlive the tests.
    enum Charge: Sendable {
        case processGroup(pid_t)
        case networkNamespace(String)
        case directory(String)

        fileprivate var text: String {
            switch self {
            case .processGroup(let leader): "process \(leader)"
            case .networkNamespace(let name): "namespace \(name)"
            case .directory(let path): "directory \(path)"
            }
        }
    }

    static let shared = Guardian()

    private let input: Int32

    init() {
        let script = """
            trap '' INT TERM HUP
            held=
            while read -r verb charge; do
                held=$(printf '%s' "$held" | grep -vxF "$charge")
                [ "$verb" = release ] || held="$held
            $charge"
            done
            printf '%s\\n' "$held" | while read -r kind name; do
                case $kind in
                    process) kill -KILL "-$name" ;;
                    namespace) ip netns del "$name" ;;
                    directory) rm -rf "$name" ;;
                esac
            done 2>/dev/null
            """
        // Without a guardian the tests run all the same; only their abrupt end leaves something.
        input = (try? SpawnedProcess(["/bin/sh", "-c", script]))?.input ?? -1
    }

    /// Puts `charge` under guard.
    func hold(_ charge: Charge) {
        SpawnedProcess.write("hold \(charge.text)\n", to: input)
    }

    /// Lets the guardian clean up, as it does when this process ends.
    func abandon() {
        close(input)
    }

    /// Ends the guard of `charge`, which its owner has cleaned up.
    func release(_ charge: Charge) {
        SpawnedProcess.write("release \(charge.text)\n", to: input)
    }
}
