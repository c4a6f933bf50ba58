// swift-tools-version: 6.0
import PackageDescription

#if os(Linux)
    // Fakes of Apple's frameworks used by the engine, with the same names and signatures; tests run the programs.
    let frameworks: [Target] = [
        .target(name: "CoreVideo", path: "Fakes/CoreVideo"),
        .target(name: "CoreML", dependencies: ["CoreVideo"], path: "Fakes/CoreML"),
    ]
    // Observation on Linux references symbols missing from its own library.
    let observation: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "--allow-shlib-undefined"])]
#else
    let frameworks: [Target] = []
    let observation: [LinkerSetting] = []
#endif
let coreML: [Target.Dependency] = frameworks.map { .byName(name: $0.name) }

let package = Package(
    name: "MobileVLM",
    platforms: [.iOS(.v18), .macOS(.v15)],
    products: [
        .library(name: "MobileVLMCore", targets: ["MobileVLMCore"]),
        .library(name: "MobileVLMCoreML", targets: ["MobileVLMCoreML"]),
        .library(name: "MobileVLMApp", targets: ["MobileVLMApp"]),
    ],
    targets: frameworks + [
        .systemLibrary(name: "CZlib"),
        .target(name: "MobileVLMCore", dependencies: ["CZlib"]),
        .target(name: "MobileVLMCoreML", dependencies: ["MobileVLMCore"] + coreML),
        .target(name: "MobileVLMApp", dependencies: ["MobileVLMCore"], linkerSettings: observation),
        .testTarget(name: "MobileVLMCoreTests", dependencies: ["MobileVLMCore", "MobileVLMCoreML", "CZlib"] + coreML),
        .testTarget(
            name: "MobileVLMAppTests", dependencies: ["MobileVLMApp", "MobileVLMCoreTests"], linkerSettings: observation),
    ]
)
