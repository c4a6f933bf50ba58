import XCTest

@testable import MobileVLMCore

final class MemoryCheckTests: XCTestCase {
    func testAModelFitsUpToTheLastByteButNotEasily() {
        let fits = [0, 800, 801, 1_000, 1_001].map { MemoryCheck.fit(needed: $0, available: 1_000) }
        XCTAssertEqual(fits, [.fits, .fits, .tight, .tight, .tooLittle])
        XCTAssertEqual(MemoryCheck.fit(needed: 1, available: 0), .tooLittle)
        XCTAssertEqual(MemoryCheck.fit(needed: 1 << 31, available: .max), .fits)
    }

    func testTheSessionWarnsWhileItIsLoaded() async {
        let scene = Scene(memory: .tight)
        await scene.session.open(Scene.folder)
        await scene.session.settle()
        var state = await scene.session.state
        XCTAssertEqual(state.memory, .tight)
        XCTAssertNil(state.problem)
        await scene.session.close()
        await scene.session.settle()
        state = await scene.session.state
        XCTAssertEqual(state.memory, .fits)
    }
}
