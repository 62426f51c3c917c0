// The successor's side of a takeover (TakeoverMessages.swift). Synchronous: the process has nothing
// else to do yet.

internal import Foundation
internal import Glibc
internal import Logging

/// Asks the switch of a runtime directory to hand over.
final class TakeoverClient {
    private let client: HandoverClient
    /// Seconds that a switch may take for an answer. Longer than it takes to come to rest.
    private static let answerSecondsMax = 5

    /// What a switch offers.
    struct Offer {
        let pid: Int32
        let program: String
        let configuration: Configuration
        /// The same as the switch has written it.
        let text: String
    }

    /// What a switch has handed over.
    struct Estate {
        var full: FullState
        var descriptors: StateDescriptors
        let lock: PassedDescriptor
    }

    /// - Throws: when no switch runs in the directory.
    init(runtimeDirectory: String) throws(SwitchError) {
        let path = runtimeDirectory + "/" + HandoverProtocol.socketName
        do throws(ControlClientError) {
            client = try HandoverClient(path: path)
        } catch {
            throw SwitchError("there is nothing to take over: \(error)")
        }
        guard let peer = client.peer, peer.uid == geteuid() else {
            throw SwitchError("\(path) is not of this user, so nothing is taken over from it")
        }
    }

    /// Asks for what the switch runs with.
    func ask(
        environment: ConfigurationEnvironment
    ) throws(SwitchError) -> Offer {
        let (offer, passed) = try request(.offer, TakeoverRequest(), as: TakeoverOffer.self)
        guard let file = passed.first, let bytes = StateFile(adopting: file.take()).read() else {
            throw SwitchError("the running switch does not say what it runs with")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        do throws(ConfigurationErrors) {
            let configuration = try Configuration.parse(
                text: text, fileName: "(the running switch)", environment: environment)
            return Offer(
                pid: offer.pid, program: offer.program, configuration: configuration, text: text)
        } catch {
            throw SwitchError(
                "this program does not understand what the running switch (\(offer.program)) runs "
                    + "with: \(error.errors.map(\.description).joined(separator: "; "))")
        }
    }

    /// Takes everything; from now on the switch rests until `finish`, or until this process ends.
    /// - Throws: also when the switch has other ports by now than it has offered.
    func take(as offer: Offer) throws(SwitchError) -> Estate {
        var (result, passed) = try request(.state, TakeoverNothing(), as: TakeoverState.self)
        guard passed.count >= 2 else { throw SwitchError("the switch passed no state") }
        let (file, lock) = (passed.removeFirst(), passed.removeFirst())
        while passed.count < result.descriptorCount {
            let more = try request(.descriptors, TakeoverNothing(), as: TakeoverNothing.self)
            guard !more.descriptors.isEmpty else { break }
            passed += more.descriptors
        }
        do {
            guard let bytes = StateFile(adopting: file.take()).read() else {
                throw StateError(description: "the state is damaged")
            }
            let full = try FullState(decoding: bytes)
            guard full.state.configuration == offer.text else {
                throw StateError(description: "its ports have just been changed; try again")
            }
            let names = full.state.descriptorNames
            guard names.count == passed.count else {
                throw StateError(description: "\(passed.count) of \(names.count) descriptors came")
            }
            return Estate(
                full: full,
                descriptors: StateDescriptors(
                    numbers: Dictionary(zip(names, passed), uniquingKeysWith: { first, _ in first })
                ),
                lock: lock)
        } catch {
            throw SwitchError("the state of the running switch cannot be taken over: \(error)")
        }
    }

    /// Says that this process forwards now. A switch that has gone has left everything here.
    /// - Throws: when the switch has decided otherwise and goes on itself, or may do so: a switch
    ///   that says nothing may only be stopped.
    func finish() throws(SwitchError) {
        do throws(ControlClientError) {
            _ = try client.request(
                TakeoverOperation.done.rawValue, TakeoverNothing(), as: TakeoverNothing.self,
                secondsMax: Self.answerSecondsMax)
        } catch {
            switch error {
            case .connectionLost, .system(_, code: EPIPE), .system(_, code: ECONNRESET): return
            default: throw SwitchError("the running switch goes on: \(error)")
            }
        }
    }

    /// Waits until the switch has ended and let go of everything; not for ever.
    func waitForEnd() { client.waitForEnd(secondsMax: Self.answerSecondsMax) }

    private func request<Body: Encodable, Result: Decodable>(
        _ operation: TakeoverOperation, _ body: Body, as type: Result.Type
    ) throws(SwitchError) -> (result: Result, descriptors: [PassedDescriptor]) {
        do throws(ControlClientError) {
            return try client.request(
                operation.rawValue, body, as: type, secondsMax: Self.answerSecondsMax)
        } catch {
            throw SwitchError("the running switch does not hand over: \(error)")
        }
    }
}
