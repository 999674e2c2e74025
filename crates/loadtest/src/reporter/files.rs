//! The reporter's files, which every worker gets beside the stock Artillery.

/// The files by name, as they lie in [`PLUGIN`](crate::process::PLUGIN).
pub const FILES: [(&str, &str); 14] = [
    ("answers.js", include_str!("../../../../worker/answers.js")),
    ("batch.js", include_str!("../../../../worker/batch.js")),
    ("courier.js", include_str!("../../../../worker/courier.js")),
    ("health.js", include_str!("../../../../worker/health.js")),
    ("hooks.js", include_str!("../../../../worker/hooks.js")),
    ("http.js", include_str!("../../../../worker/http.js")),
    ("index.js", include_str!("../../../../worker/index.js")),
    ("launcher.js", include_str!("../../../../worker/launcher.js")),
    ("package.json", include_str!("../../../../worker/package.json")),
    ("queue.js", include_str!("../../../../worker/queue.js")),
    ("settings.js", include_str!("../../../../worker/settings.js")),
    ("share.js", include_str!("../../../../worker/share.js")),
    ("shared.js", include_str!("../../../../worker/shared.js")),
    ("thread.js", include_str!("../../../../worker/thread.js")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_reporter_is_mounted() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../worker");
        let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = files
            .filter(|entry| entry.file_type().expect("a type").is_file())
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
        let size: usize = FILES.iter().map(|(_, text)| text.len()).sum();
        assert!(size < 58 * 1024, "{size} bytes for each load test");
    }
}
