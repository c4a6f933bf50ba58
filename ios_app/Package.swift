// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "MobileVLM",
    platforms: [.iOS(.v18), .macOS(.v15)],
    products: [.library(name: "MobileVLMCore", targets: ["MobileVLMCore"])],
    targets: [
        .systemLibrary(name: "CZlib"),
        .target(name: "MobileVLMCore", dependencies: ["CZlib"]),
        .testTarget(name: "MobileVLMCoreTests", dependencies: ["MobileVLMCore", "CZlib"]),
    ]
)
