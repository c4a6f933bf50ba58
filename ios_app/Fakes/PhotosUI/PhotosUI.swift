// The parts of Apple's PhotosUI that the app uses, with Apple's declarations, so that it is type-checked on Linux.

import Foundation
import SwiftUI

public struct PHPickerFilter: Sendable { public static let images = PHPickerFilter() }
public struct PhotosPickerItem: Hashable, Sendable {
    public func loadTransferable(type: Data.Type) async throws -> Data? { nil }
}
public struct PhotosPicker<Label: View>: SystemView {}
extension PhotosPicker {
    public init(
        selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter? = nil, @ViewBuilder label: () -> Label
    ) {}
}
extension PhotosPicker where Label == Text {
    public init<S: StringProtocol>(_ title: S, selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter? = nil) {}
}
