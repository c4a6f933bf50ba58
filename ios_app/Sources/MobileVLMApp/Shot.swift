import Foundation
import MobileVLMCore

/// A whole picture that the user took or chose.
enum Shot: Sendable {
    /// What the viewfinder showed.
    case frame(Picture)
    /// A photo's own bytes: few next to its pixels, which are decoded as large as they are needed.
    case photo(Data)

    /// Its pixels, or those of its part `part`.
    func pixels(_ part: PartRect?, decode: (Data, PartRect?) throws -> Picture) throws -> Picture {
        switch self {
        case .photo(let file): return try decode(file, part)
        case .frame(let frame):
            return try part.map { try frame.cropped(to: $0.pixels(width: frame.width, height: frame.height)) } ?? frame
        }
    }
}

/// A picture, or a part of it, with its conversation.
struct Viewing: Sendable {
    let shot: Shot
    var part: PartRect?
    var said = [ChatTurn]()
    /// Its conversation among the kept ones.
    var conversation = UUID()
}
