//! What Artillery compiles of a project in TypeScript: files in folders `dist`, which it removes at its own end only.

use std::fs;
use std::path::{Path, PathBuf};

use super::config::{Known, Sources};

/// Files that are not there now and will be removed when this goes, with their folders if nothing else is in them.
#[derive(Debug)]
pub struct Compiled(Vec<PathBuf>);

impl Compiled {
    /// What Artillery would make of a script, and of its processor.
    pub fn of(script: &Path, sources: &Sources<'_>) -> Self {
        let folder = script.parent().unwrap_or(Path::new(""));
        let of_script =
            is_type_script(script).then(|| script.file_name().map(|name| beside(script, name.as_ref())));
        let mut files: Vec<_> = of_script.flatten().into_iter().collect();
        if let Known::Here(setting) = sources.find("processor")
            && let Some(processor) = setting.node.text().map(|path| folder.join(path))
            && is_type_script(&processor)
        {
            files.extend(processor.file_stem().map(|stem| beside(&processor, stem.as_ref())));
        }
        files.retain(|file| !file.exists());
        Self(files)
    }
}

fn is_type_script(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "ts")
}

fn beside(path: &Path, name: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut name = name.as_os_str().to_owned();
    name.push(".js");
    folder.join("dist").join(name)
}

impl Drop for Compiled {
    fn drop(&mut self) {
        for file in &self.0 {
            // it is not there where Artillery did not get so far, and neither is its folder
            if fs::remove_file(file).is_ok()
                && let Some(folder) = file.parent()
            {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::config::Source;
    use crate::plan::document::read;

    #[test]
    fn what_was_made_is_removed_and_what_was_there_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let root = read("config: {processor: ./lib/hooks.ts}").expect("a tree");
        let script = Source { file: "s.yaml".to_owned(), root };
        let sources = Sources { texts: vec![&script], ..Sources::default() };
        fs::create_dir_all(at("lib/dist")).expect("a folder");
        let compiled = Compiled::of(&at("s.yaml"), &sources);
        fs::write(at("lib/dist/hooks.js"), "").expect("a file");
        fs::write(at("lib/dist/more.js"), "").expect("a file");
        drop(compiled);
        assert!(!at("lib/dist/hooks.js").exists() && at("lib/dist/more.js").exists());
        let compiled = Compiled::of(&at("s.ts"), &Sources::default());
        fs::create_dir(at("dist")).expect("a folder");
        fs::write(at("dist/s.ts.js"), "").expect("a file");
        drop(compiled);
        assert!(!at("dist").exists());
        fs::write(at("lib/dist/hooks.js"), "").expect("a file");
        drop(Compiled::of(&at("s.yaml"), &sources));
        assert!(at("lib/dist/hooks.js").exists(), "it was its user's");
    }
}
