/// Whether a phone has the memory that a bundle needs.
public enum MemoryFit: Sendable, Equatable {
    case fits
    /// It can be loaded, but the system may close this app, or others for it.
    case tight
    /// It is not loaded, because the system would close this app.
    case tooLittle
}

/// How much of a phone's memory a model may use.
public enum MemoryCheck {
    /// A model that needs more than this fraction of the usable memory is a tight fit.
    private static let comfortable = 0.8

    /// Whether a bundle that needs `needed` bytes fits into `available` ones (on an iPhone, `os_proc_available_memory()`).
    public static func fit(needed: Int64, available: Int64) -> MemoryFit {
        if needed > available { return .tooLittle }
        return Double(needed) > Double(available) * comfortable ? .tight : .fits
    }
}
