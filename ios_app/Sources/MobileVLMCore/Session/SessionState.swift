/// What the session is doing.
public enum Phase: Sendable, Equatable {
    /// No bundle is selected.
    case idle
    /// A bundle is being verified and loaded.
    case loading
    /// It couldn't be loaded; `SessionState.problem` says why.
    case failed
    /// The model was freed while the app is in the background.
    case suspended
    /// The model waits for a picture.
    case ready
    /// "Check this phone" is using the model (`VLMSession.check`).
    case checking
    /// A picture is being encoded, or a conversation is being restored in the KV cache.
    case encoding
    /// The picture is in the KV cache: a question may be asked.
    case imageReady
    /// An answer is being generated.
    case answering
}

/// How an answer ended.
public enum Ended: String, Codable, Sendable, Equatable {
    case complete, length, stopped, failed
}

/// Statistics of an answer.
public struct AnswerStats: Codable, Sendable, Equatable {
    /// Seconds to encode the image and run it through the text decoder; 0 for a follow-up.
    public let imageSeconds: Double
    /// Seconds from the question to the first token.
    public let firstTokenSeconds: Double
    public let tokens: Int
    /// Tokens per second after the first; 0 if there was only one.
    public let tokensPerSecond: Double
}

/// A question and its answer so far; `ended` is nil until it is finished.
public struct ChatTurn: Codable, Sendable, Equatable {
    public let question: String
    public internal(set) var answer = ""
    public internal(set) var tokenIDs = [Int32]()
    public internal(set) var ended: Ended?
    public internal(set) var stats: AnswerStats?
}

/// What went wrong; shown next to the conversation, never as an answer.
public enum Problem: Sendable, Equatable {
    /// The bundle can't be used: damaged, of a newer format, without a program for this app.
    case bundle(String)
    /// The phone has too little memory.
    case memory(needed: Int64, available: Int64)
    /// The engine failed. The operation can be retried.
    case engine(String)
    /// The question doesn't fit the remaining context; a new chat about the same picture has more room.
    case contextFull(question: String)
    /// The phone couldn't be checked: no golden records, no room for a capture, a failing engine.
    case check(String)
    /// The picture or the question can't be used.
    case input(String)
}

/// Everything a screen shows about the session.
public struct SessionState: Sendable, Equatable {
    public internal(set) var phase = Phase.idle
    /// The selected bundle's name.
    public internal(set) var bundle: String?
    /// While a load hashes the bundle's files: the fraction done, 0 to 1. Nil before and afterwards, while the engine loads.
    public internal(set) var verified: Double?
    /// The picture's number; changes with each `show`, `clear`, `close` and change of bundle.
    public internal(set) var picture = 0
    /// Whether encoding hasn't begun, so that replacing the picture costs nothing.
    public internal(set) var isPictureWaiting = false
    public internal(set) var turns = [ChatTurn]()
    /// Asked, but not being answered yet.
    public internal(set) var waitingQuestion: String?
    /// Tokens in the KV cache, of `maxTokens`.
    public internal(set) var usedTokens = 0
    public internal(set) var maxTokens = 0
    /// How well the loaded model fits the phone: a warning if it is `tight`.
    public internal(set) var memory = MemoryFit.fits
    public internal(set) var problem: Problem?

    public init() {}
}
