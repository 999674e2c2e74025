//! What Artillery compiles of a project in TypeScript: files in folders `dist`, which it removes at its own end only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::project::Project;

/// Files that are not there now and will be removed when this goes, with their folders if nothing else is in them.
#[derive(Debug)]
pub struct Compiled(Vec<PathBuf>);

impl Compiled {
    /// What Artillery would make of a script, and of its processor.
    pub fn of(project: &Project) -> Self {
        let script = &project.script;
        let of_script =
            is_type_script(script).then(|| script.file_name().map(|name| beside(script, name.as_ref())));
        let mut files: Vec<_> = of_script.flatten().into_iter().collect();
        let folders = project.folders();
        let named = project.merged().files().into_iter().filter(|file| file.key == "processor");
        let processors = named.filter_map(|file| folders.locate(&file)).map(|located| located.from);
        files.extend(
            processors
                .filter(|processor| is_type_script(processor))
                .filter_map(|processor| Some(beside(&processor, processor.file_stem()?.as_ref()))),
        );
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
    use crate::flags::Options;

    #[test]
    fn what_was_made_is_removed_and_what_was_there_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("lib/dist")).expect("a folder");
        fs::write(at("s.yaml"), "config: {processor: ./lib/hooks.ts}").expect("a file");
        fs::write(at("lib/hooks.ts"), "").expect("a file");
        let project = Project::read(&at("s.yaml"), &Options::default()).expect("a project");
        let compiled = Compiled::of(&project);
        fs::write(at("lib/dist/hooks.js"), "").expect("a file");
        fs::write(at("lib/dist/more.js"), "").expect("a file");
        drop(compiled);
        assert!(!at("lib/dist/hooks.js").exists() && at("lib/dist/more.js").exists());
        let compiled = Compiled::of(&Project { script: at("s.ts"), ..Project::default() });
        fs::create_dir(at("dist")).expect("a folder");
        fs::write(at("dist/s.ts.js"), "").expect("a file");
        drop(compiled);
        assert!(!at("dist").exists());
        fs::write(at("lib/dist/hooks.js"), "").expect("a file");
        drop(Compiled::of(&project));
        assert!(at("lib/dist/hooks.js").exists(), "it was its user's");
    }
}
