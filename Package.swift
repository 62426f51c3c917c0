// swift-tools-version: 6.3
// Targets stand from the top of the house to the ground; a dependency points only downwards.
import PackageDescription

/// Language rules of every Swift target: Swift 6 mode, warnings are errors, imports stay private
/// unless said otherwise.
let houseRules: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "ringswitch",
    products: [
        .executable(name: "ringswitch", targets: ["ringswitch"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // The executable: subcommands, nothing else.
        .executableTarget(
            name: "ringswitch",
            dependencies: [
                "Control",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: houseRules),
        // Configuration, port lifecycle, control socket, statistics. May block and allocate.
        .target(
            name: "Control",
            dependencies: [
                "Dataplane", "SwitchCore", "CShimsSystem",
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "FlyingSocks", package: "FlyingFox"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: houseRules),
        // Workers, transports, egress queues. Blocks in the ring only, never allocates per frame.
        .target(
            name: "Dataplane",
            dependencies: ["SwitchCore", "IORing", "CShimsSystem"],
            swiftSettings: houseRules),
        // io_uring: ring, provided buffers, completions and their tags.
        .target(name: "IORing", dependencies: ["CShimsRing"], swiftSettings: houseRules),
        // Pure switching: headers, MAC table, connection table, verdicts, counters. No I/O.
        .target(name: "SwitchCore", swiftSettings: houseRules),
        // The kernel's edge: io_uring (only IORing imports it) ...
        .target(
            name: "CShimsRing", path: "CShims/CShimsRing",
            linkerSettings: [.linkedLibrary("uring")]),
        // ... and sockets, TAP devices, namespaces.
        .target(name: "CShimsSystem", path: "CShims/CShimsSystem"),

        // Frame builders, the naive reference switch, simulated backend and clock.
        .target(
            name: "Support", dependencies: ["SwitchCore"], path: "Tests/Support",
            swiftSettings: houseRules),
        .testTarget(
            name: "SwitchCoreTests", dependencies: ["SwitchCore", "Support"],
            swiftSettings: houseRules),
        .testTarget(
            name: "IORingTests", dependencies: ["IORing", "CShimsRing", "Support"],
            swiftSettings: houseRules),
        // Counts the allocations of the test program's threads.
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(
            name: "DataplaneTests",
            dependencies: [
                "Dataplane", "SwitchCore", "IORing", "Support", "CShimsSystem", "AllocationCounter",
            ],
            swiftSettings: houseRules),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "Control", "Dataplane", "SwitchCore", "CShimsSystem", "Support",
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: houseRules),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["CShimsSystem", "Support", "SwitchCore", "Control"],
            path: "Tests/EndToEnd",
            swiftSettings: houseRules),

        // Measuring tools: what they share, traffic generator, questions and answers, and the C
        // cables that the switch is held against.
        .executableTarget(
            name: "micro", dependencies: ["Dataplane", "SwitchCore", "Support"],
            path: "bench/micro",
            swiftSettings: houseRules),
        .target(name: "Measuring", path: "bench/common"),
        .executableTarget(name: "loadgen", dependencies: ["Measuring"], path: "bench/loadgen"),
        .executableTarget(name: "pingpong", dependencies: ["Measuring"], path: "bench/pingpong"),
        .executableTarget(
            name: "cable-uring", path: "bench/baseline/uring",
            linkerSettings: [.linkedLibrary("uring")]),
        .executableTarget(name: "cable-mmsg", path: "bench/baseline/mmsg"),
        .executableTarget(name: "cable-stream", path: "bench/baseline/stream"),
        .executableTarget(
            name: "cable-tap", path: "bench/baseline/tap", linkerSettings: [.linkedLibrary("uring")]
        ),
    ]
)
