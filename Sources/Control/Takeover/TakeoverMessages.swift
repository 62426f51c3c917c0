// The conversation of a takeover over `handover.sock`, one request and one reply at a time, all by
// one connection:
//
//     successor                              switch
//     takeover: what I understand     ->     the configuration that I run with
//     takeover_state                  ->     (comes to rest) state, lock, descriptors
//     takeover_descriptors, repeated  ->     the descriptors that found no room
//     (restores)
//     takeover_done                   ->     (leaves)
//     (forwards)
//
// Until `takeover_done` the switch can go on, and does so when the connection ends or the successor
// takes too long. It makes sure first that the successor is no more: two processes that read one
// socket would tear every flow apart. So a successor is killed if it does not end by itself, which
// is why it has to be a process that the switch can see.

internal import Foundation

/// Operations of `handover.sock` that belong to a takeover.
enum TakeoverOperation: String, CaseIterable {
    case offer = "takeover"
    case state = "takeover_state"
    case descriptors = "takeover_descriptors"
    case done = "takeover_done"
}

/// What a successor says of itself.
struct TakeoverRequest: Codable, Sendable {
    /// Version of the state that it reads.
    var stateVersion = SwitchState.version
    /// Version of the program.
    var program = Version.current
}

/// What a switch offers to a successor; goes with a file of what it runs with, as TOML.
struct TakeoverOffer: Codable, Sendable {
    var program = Version.current
    var name: String
    var pid: Int32
}

/// Goes with the file of the state, the lock and the first descriptors.
struct TakeoverState: Codable, Sendable {
    /// Descriptors in all, without the file and the lock.
    var descriptorCount: Int
}

/// A request or reply that says nothing more.
struct TakeoverNothing: Codable, Sendable {}
