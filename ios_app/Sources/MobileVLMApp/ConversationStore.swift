import Foundation
import MobileVLMCore

/// How many conversations are kept.
public enum KeptCount: String, Codable, Sendable, CaseIterable {
    case off, ten, fifty, all

    /// More are deleted; nil deletes none, also of those kept before it was off.
    var most: Int? {
        switch self {
        case .ten: 10
        case .fifty: 50
        case .off, .all: nil
        }
    }

    public var label: LocalizedText {
        switch self {
        case .off: LocalizedText("keep_off")
        case .ten: LocalizedText("keep_ten")
        case .fifty: LocalizedText("keep_fifty")
        case .all: LocalizedText("keep_all")
        }
    }
}

/// A conversation that the user keeps.
public struct KeptConversation: Codable, Sendable, Equatable, Identifiable {
    public let id: UUID
    /// When its newest answer ended.
    public let date: Date
    /// The id of the model's manifest.
    public let model: String
    public let turns: [ChatTurn]

    public var title: String { turns.first?.question ?? "" }
}

/// Conversations with their pictures, in the app's own folder: `ID.json` and `ID.jpg`.
actor ConversationStore {
    private let folder: URL
    private let keepFromBackup: @Sendable (URL) -> Void

    /// - Parameter keepFromBackup: excludes a folder from the phone's backup, which may leave the phone
    init(_ folder: URL, keepFromBackup: @escaping @Sendable (URL) -> Void) {
        self.folder = folder
        self.keepFromBackup = keepFromBackup
    }

    /// Newest first; what can't be read is left out.
    func list() -> [KeptConversation] {
        let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        return
            files
            .filter { $0.pathExtension == "json" }
            .compactMap { file in try? JSONDecoder().decode(KeptConversation.self, from: Data(contentsOf: file)) }
            .sorted { $0.date > $1.date }
    }

    /// Keeps `conversation` with its picture, and deletes the oldest beyond `count`.
    func keep(_ conversation: KeptConversation, count: KeptCount, picture: @Sendable () throws -> Data) {
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        keepFromBackup(folder)
        let image = Self.picture(of: conversation.id, in: folder)
        do {
            if !FileManager.default.fileExists(atPath: image.path) { try write(picture(), to: image) }
            try write(JSONEncoder().encode(conversation), to: file(conversation.id))
        } catch {
            // Nothing half-written stays; what was kept before does.
            if !FileManager.default.fileExists(atPath: file(conversation.id).path) { remove(conversation.id) }
        }
        prune(count)
    }

    /// Deletes the oldest beyond `count`.
    func prune(_ count: KeptCount) {
        guard let most = count.most else { return }
        for old in list().dropFirst(most) { remove(old.id) }
    }

    func remove(_ id: UUID) {
        for file in [file(id), Self.picture(of: id, in: folder)] { try? FileManager.default.removeItem(at: file) }
    }

    nonisolated static func picture(of id: UUID, in folder: URL) -> URL { folder.appending(path: "\(id).jpg") }

    private func file(_ id: UUID) -> URL { folder.appending(path: "\(id).json") }

    private func write(_ bytes: Data, to file: URL) throws {
        #if os(iOS)
            try bytes.write(to: file, options: [.atomic, .completeFileProtectionUnlessOpen])
        #else
            try bytes.write(to: file, options: .atomic)
        #endif
    }
}
