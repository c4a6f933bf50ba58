import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

/// What comes from other apps, and the packed model.
@MainActor
final class ArrivalTests: XCTestCase, @unchecked Sendable {
    func testThePackedModelIsImportedAtTheFirstStartOnly() async throws {
        let fixture = try AppFixture()
        fixture.packed = try fixture.zipped("packed")
        await fixture.model.start()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.bundle, "packed")
        XCTAssertEqual(fixture.model.screen, .chat)
        await fixture.model.delete(try XCTUnwrap(fixture.model.library.bundles.first))
        let next = AppModel(fixture.dependencies())
        await next.start()
        XCTAssertEqual(next.screen, .welcome, "the user deleted it")
        XCTAssertTrue(next.hasPacked)
        await next.importPacked()
        await next.settle()
        XCTAssertEqual(next.session.bundle, "packed")
    }

    func testAPackedModelThatCouldNotBeImportedIsTriedAgain() async throws {
        let fixture = try AppFixture(), packed = try fixture.zipped("packed")
        let good = try Data(contentsOf: packed)
        try Data("damaged".utf8).write(to: packed)
        fixture.packed = packed
        await fixture.model.start()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.screen, .welcome)
        try good.write(to: packed)
        let next = AppModel(fixture.dependencies())
        await next.start()
        await next.settle()
        XCTAssertEqual(next.session.bundle, "packed")
    }

    func testAPictureFromAnotherAppIsShownOnceAModelIsInUse() async throws {
        let fixture = try AppFixture()
        try fixture.put()
        let file = fixture.folder.appending(path: "shared.jpg")
        try Data([5]).write(to: file)
        await fixture.model.open(file)
        XCTAssertNil(fixture.model.picture)
        await fixture.model.start()
        try await eventually("it is shown") { fixture.model.picture != nil }
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
        fixture.model.go(.settings)
        try Data([6]).write(to: file)
        await fixture.model.open(file)
        try await eventually("the other is shown") { fixture.model.picture?.pixels.first.map { $0 >> 16 } == 6 }
        XCTAssertEqual(fixture.model.screen, .chat)
        await fixture.model.open(try fixture.zipped("other", TestBundle(kitVersion: "0.2.0", largest: 1000)))
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.bundle, "other")
    }

    func testAnImageOfAShortcutIsShown() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        fixture.model.go(.settings)
        fixture.model.open(picture: Data([7]))
        try await eventually("it is shown") { fixture.model.picture?.pixels.first.map { $0 >> 16 } == 7 }
        XCTAssertEqual(fixture.model.screen, .chat)
    }

    func testAnImportFromAnotherAppIsSeenAndSoIsItsFailure() async throws {
        let fixture = try AppFixture()
        try fixture.put()
        let broken = fixture.folder.appending(path: "broken.mvlm.zip")
        try Data("zip".utf8).write(to: broken)
        let gate = DispatchSemaphore(value: 0)
        fixture.facts.change { $0.beforeImport = { gate.wait() } }
        let opening = Task { await fixture.model.open(broken) }  // the app is started for it
        try await eventually("it is imported") { fixture.model.library.importing != nil }
        let starting = Task { await fixture.model.start() }
        try await Task.sleep(for: .milliseconds(20))
        gate.signal()
        await opening.value
        await starting.value
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.screen, .bundles)
        XCTAssertNotNil(fixture.model.library.problem)
        XCTAssertEqual(fixture.model.session.bundle, "demo", "the other is in use")
        fixture.facts.change { $0.beforeImport = {} }
        fixture.model.back()
        await fixture.model.open(broken)
        XCTAssertEqual(fixture.model.screen, .bundles)
        XCTAssertNotNil(fixture.model.library.problem)
    }
}
