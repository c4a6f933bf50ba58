import Foundation

@MainActor @preconcurrency public protocol Gesture {
    associatedtype Value
}
public struct SimultaneousGesture<First: Gesture, Second: Gesture>: Gesture { public typealias Value = Void }
public struct GestureWithAction<Value>: Gesture {}
extension Gesture {
    public func onChanged(_ action: @escaping (Value) -> Void) -> GestureWithAction<Value> { GestureWithAction() }
    public func onEnded(_ action: @escaping (Value) -> Void) -> GestureWithAction<Value> { GestureWithAction() }
    public func simultaneously<Other: Gesture>(with other: Other) -> SimultaneousGesture<Self, Other> { SimultaneousGesture() }
}
public struct Transaction {}
@propertyWrapper public struct GestureState<Value> {
    public init(wrappedValue: Value) {}
    public var wrappedValue: Value { fatalError() }
    public var projectedValue: GestureState<Value> { self }
}
public struct GestureStateGesture<Base: Gesture, State>: Gesture { public typealias Value = Base.Value }
extension Gesture {
    public func updating<State>(
        _ state: GestureState<State>, body: @escaping (Value, inout State, inout Transaction) -> Void
    ) -> GestureStateGesture<Self, State> { GestureStateGesture() }
}
public struct SpatialTapGesture: Gesture {
    public struct Value { public var location: CGPoint { .zero } }
    public init(count: Int = 1) {}
}
public struct MagnifyGesture: Gesture {
    public struct Value {
        public var magnification: CGFloat { 1 }
        public var startLocation: CGPoint { .zero }
    }
    public init(minimumScaleDelta: CGFloat = 0.01) {}
}
public struct DragGesture: Gesture {
    public struct Value {
        public var startLocation: CGPoint { .zero }
        public var location: CGPoint { .zero }
        public var translation: CGSize { .zero }
    }
    public init(minimumDistance: CGFloat = 10) {}
}
