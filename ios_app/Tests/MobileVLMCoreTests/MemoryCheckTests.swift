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
        let fixture = SessionFixture(memory: .tight)
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        var state = await fixture.session.state
        XCTAssertEqual(state.memory, .tight)
        XCTAssertNil(state.problem)
        await fixture.session.close()
        await fixture.session.settle()
        state = await fixture.session.state
        XCTAssertEqual(state.memory, .fits)
    }
}
