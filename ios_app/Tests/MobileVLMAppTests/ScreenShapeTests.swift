import XCTest

@testable import MobileVLMApp

final class ScreenShapeTests: XCTestCase {
    func testASmallScreenIsNotWideWhileTheUserTypes() {
        XCTAssertFalse(ScreenShape.isWide(width: 375, height: 330, insets: 337), "an iPhone SE with its keyboard")
        XCTAssertTrue(ScreenShape.isWide(width: 667, height: 160, insets: 215))
        XCTAssertFalse(ScreenShape.isWide(width: 390, height: 760, insets: 84))
        XCTAssertGreaterThan(ScreenShape.pictureHeight(600, isTyping: false), ScreenShape.pictureHeight(600, isTyping: true))
    }
}
