import Foundation
import MobileVLMCore

/// A problem: a user-facing title, the cause below, and possible actions.
public struct Notice: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        case tryAgain, loadAnyway, openAnyway, models, newChat(question: String), undo

        public var label: LocalizedText {
            switch self {
            case .tryAgain, .openAnyway: LocalizedText("try_again")
            case .loadAnyway: LocalizedText("load_anyway")
            case .models: LocalizedText("menu_models")
            case .newChat: LocalizedText("problem_full_action")
            case .undo: LocalizedText("undo_question_label")
            }
        }

        /// What the user should know before.
        public var note: LocalizedText? { self == .loadAnyway ? LocalizedText("load_anyway_detail") : nil }
    }

    public let title: LocalizedText
    public let detail: LocalizedText
    public let actions: [Action]

    static let crash = Notice(
        title: LocalizedText("problem_crash"), detail: LocalizedText("problem_crash_detail"), actions: [.openAnyway, .models])
}

/// The notice in place of the picture, with a possible action.
public struct PictureNotice: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        case allowCamera, openSystemSettings, reopenCamera

        public var label: LocalizedText {
            switch self {
            case .allowCamera: LocalizedText("camera_allow")
            case .openSystemSettings: LocalizedText("camera_settings")
            case .reopenCamera: LocalizedText("camera_retry")
            }
        }
    }

    public let text: LocalizedText
    /// The message of the cause.
    public let detail: String?
    public let action: Action?

    init(_ key: String, detail: String? = nil, action: Action? = nil) {
        text = LocalizedText(key)
        self.detail = detail
        self.action = action
    }

    init?(_ camera: CameraState) {
        switch camera {
        case .off, .open: return nil
        case .askPermission: self.init("camera_ask", action: .allowCamera)
        case .denied: self.init("camera_denied", action: .openSystemSettings)
        case .noCamera: self.init("camera_none")
        case .inUse: self.init("camera_in_use", action: .reopenCamera)
        case .tooHot: self.init("camera_hot", action: .reopenCamera)
        case .failed: self.init("camera_failed", action: .reopenCamera)
        }
    }
}

@MainActor
extension AppModel {
    /// The notice of the current problem.
    public var notice: Notice? { hasCrashed ? .crash : session.problem.map(notice(of:)) }

    /// A warning that isn't a problem.
    public var warning: LocalizedText? { session.memory == .tight ? LocalizedText("problem_memory_tight_ios") : nil }

    func notice(of problem: Problem) -> Notice {
        switch problem {
        case .bundle(let message):
            Notice(title: LocalizedText("problem_bundle"), detail: .literal(plain(message)), actions: [.models])
        case .memory(let needed, let available):
            Notice(
                title: LocalizedText("problem_memory"),
                detail: LocalizedText("problem_memory_detail_ios", .bytes(needed), .bytes(available)),
                actions: [.tryAgain, .loadAnyway, .models])
        case .engine(let message):
            Notice(title: LocalizedText("problem_engine"), detail: .literal(plain(message)), actions: [.tryAgain, .models])
        case .contextFull(let question):
            Notice(
                title: LocalizedText("problem_full"), detail: LocalizedText("problem_full_detail"),
                actions: [.newChat(question: question), .undo])
        case .check(let message):
            Notice(title: LocalizedText("problem_check"), detail: .literal(plain(message)), actions: [])
        case .input(let message):
            Notice(title: LocalizedText("problem_input"), detail: .literal(plain(message)), actions: [])
        }
    }

    /// `cause` without the paths of the app's own folders.
    public func plain(_ cause: String) -> String {
        [dependencies.bundles, dependencies.captures].reduce(cause) { $0.replacingOccurrences(of: "\($1.path)/", with: "") }
    }

    /// A question that didn't fit the context, to be shortened.
    public var refusedQuestion: String? {
        if case .contextFull(let question) = session.problem { question } else { nil }
    }

    public func perform(_ action: Notice.Action) {
        switch action {
        case .tryAgain: retry()
        case .loadAnyway: retry(regardless: true)
        case .openAnyway: openAnyway()
        case .models: go(.bundles)
        case .newChat(let question): newChat(asking: question)
        case .undo: undo()
        }
    }

    public var pictureNotice: PictureNotice? {
        if isReadingPicture { return PictureNotice("picture_reading") }
        if picture != nil { return nil }
        if let pictureProblem { return PictureNotice("picture_failed", detail: pictureProblem) }
        return PictureNotice(camera)
    }

    /// Whether an answer is being generated or a question is queued.
    public var isBusy: Bool { session.phase == .answering || session.waitingQuestion != nil }

    public var canAsk: Bool { picture != nil && !isBusy }

    /// The questions to suggest.
    public var suggestions: [String] { canAsk ? settings.presets : [] }

    /// What the app is doing, in one line; nil if there is nothing to report.
    public var status: LocalizedText? {
        if live != nil { return nil }
        if let waiting = session.waitingQuestion { return LocalizedText("phase_waiting", .text(waiting)) }
        switch session.phase {
        case .idle: return LocalizedText("phase_idle")
        case .loading, .suspended: return LocalizedText(session.verified == nil ? "phase_preparing" : "phase_checking")
        case .failed: return nil
        case .checking: return LocalizedText("check_running")
        case .answering: return LocalizedText("phase_answering")
        case .ready: return nil
        case .encoding: return picture == nil ? nil : LocalizedText("phase_looking")
        case .imageReady where picture == nil: return nil
        case .imageReady where session.turns.isEmpty: return LocalizedText("phase_seen")
        case .imageReady: return nil
        }
    }

    /// The settings' name of the hardware that runs the model.
    public func label(of units: CoreMLSpec.ComputeUnits?) -> LocalizedText {
        switch units {
        case nil: LocalizedText("units_model")
        case .cpuOnly: .literal("CPU")
        case .cpuAndGPU: .literal("CPU + GPU")
        case .cpuAndNeuralEngine: .literal("CPU + Neural Engine")
        case .all: .literal("CPU + GPU + Neural Engine")
        }
    }

    /// The note below an answer: how it ended, unless it is complete.
    public func ending(of turn: ChatTurn) -> LocalizedText? {
        switch turn.ended {
        case .length: LocalizedText("ended_length")
        case .stopped: LocalizedText("ended_stopped")
        case .failed: LocalizedText("ended_failed")
        case .complete, nil: nil
        }
    }

    /// The details of an answer.
    public func figures(of turn: ChatTurn) -> [LocalizedText] {
        guard let stats = turn.stats else { return [] }
        var figures = [LocalizedText("stats_first", .decimal(stats.firstTokenSeconds))]
        if stats.imageSeconds > 0 { figures.insert(LocalizedText("stats_image", .decimal(stats.imageSeconds)), at: 0) }
        if stats.tokensPerSecond > 0 { figures.append(LocalizedText("stats_speed", .decimal(stats.tokensPerSecond))) }
        return figures
    }
}
