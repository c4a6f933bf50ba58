import Foundation

/// Room on the disk.
public enum DiskSpace {
    /// Bytes that must stay free.
    public static let reserve: Int64 = 64 << 20

    /// Free bytes on the volume of the existing `folder`; nil if unknown. On Apple's systems, with what the system would free for them.
    public static func free(at folder: URL) -> Int64? {
        #if canImport(Darwin)
            let values = try? folder.resourceValues(forKeys: [.volumeAvailableCapacityForImportantUsageKey])
            // 0 if the volume doesn't know.
            if let free = values?.volumeAvailableCapacityForImportantUsage, free > 0 { return free }
        #endif
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder.path)
        return (attributes?[.systemFreeSize] as? NSNumber)?.int64Value
    }

    /// The size of all files in `folder`.
    public static func used(by folder: URL) -> Int64 {
        let keys: [URLResourceKey] = [.isRegularFileKey, .fileSizeKey]
        guard let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: keys) else { return 0 }
        return files.reduce(0) { sum, item in
            let values = try? (item as? URL)?.resourceValues(forKeys: Set(keys))
            return sum + (values?.isRegularFile == true ? Int64(values?.fileSize ?? 0) : 0)
        }
    }
}
