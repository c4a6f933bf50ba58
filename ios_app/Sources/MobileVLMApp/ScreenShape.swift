/// How a screen is divided between a picture and its conversation.
public enum ScreenShape {
    /// Whether they are side by side. `insets` is what the screen's bars and the keyboard take of its height: without them, a small screen
    /// would be wide while the keyboard is shown.
    public static func isWide(width: Double, height: Double, insets: Double) -> Bool { width > height + insets }

    /// The height of the picture above the conversation in `height`; less while the user types, for the keyboard.
    public static func pictureHeight(_ height: Double, isTyping: Bool) -> Double { height * (isTyping ? 0.2 : 0.4) }
}
