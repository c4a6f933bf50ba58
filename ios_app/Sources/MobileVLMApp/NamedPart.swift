import MobileVLMCore

/// A part of a picture that can be chosen by its name, without seeing it; the same as on Android.
public enum NamedPart: Sendable, CaseIterable {
    case upperHalf, lowerHalf, leftHalf, rightHalf, center
    case upperLeft, upperRight, lowerLeft, lowerRight
    case upperThird, middleThird, lowerThird

    public var rect: PartRect {
        switch self {
        case .upperHalf: PartRect(left: 0, top: 0, right: 1, bottom: 0.5)
        case .lowerHalf: PartRect(left: 0, top: 0.5, right: 1, bottom: 1)
        case .leftHalf: PartRect(left: 0, top: 0, right: 0.5, bottom: 1)
        case .rightHalf: PartRect(left: 0.5, top: 0, right: 1, bottom: 1)
        case .center: PartRect(left: 0.25, top: 0.25, right: 0.75, bottom: 0.75)
        case .upperLeft: PartRect(left: 0, top: 0, right: 0.5, bottom: 0.5)
        case .upperRight: PartRect(left: 0.5, top: 0, right: 1, bottom: 0.5)
        case .lowerLeft: PartRect(left: 0, top: 0.5, right: 0.5, bottom: 1)
        case .lowerRight: PartRect(left: 0.5, top: 0.5, right: 1, bottom: 1)
        case .upperThird: PartRect(left: 0, top: 0, right: 1, bottom: 1.0 / 3)
        case .middleThird: PartRect(left: 0, top: 1.0 / 3, right: 1, bottom: 2.0 / 3)
        case .lowerThird: PartRect(left: 0, top: 2.0 / 3, right: 1, bottom: 1)
        }
    }

    public var label: LocalizedText {
        switch self {
        case .upperHalf: LocalizedText("part_upper_half")
        case .lowerHalf: LocalizedText("part_lower_half")
        case .leftHalf: LocalizedText("part_left_half")
        case .rightHalf: LocalizedText("part_right_half")
        case .center: LocalizedText("part_center")
        case .upperLeft: LocalizedText("part_upper_left")
        case .upperRight: LocalizedText("part_upper_right")
        case .lowerLeft: LocalizedText("part_lower_left")
        case .lowerRight: LocalizedText("part_lower_right")
        case .upperThird: LocalizedText("part_upper_third")
        case .middleThird: LocalizedText("part_middle_third")
        case .lowerThird: LocalizedText("part_lower_third")
        }
    }

    /// What VoiceOver says when it is chosen.
    var chosen: LocalizedText {
        guard let key = label.key else { return label }
        return LocalizedText("part_chosen", .localized(key))
    }
}
