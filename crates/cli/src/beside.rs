//! The files that a script needs beside itself: those that it names, and those that its processor requires, and so on. Each lies below the
//! script's folder, where a ConfigMap can put it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use loadtest::script::{self, Script};
use regex::Regex;

use crate::exit::Failure;

/// No file that is searched for what it requires is larger, in bytes.
const MAX_SEARCHED: u64 = 4 << 20;
/// A project has no more files.
const MAX_FILES: usize = 2_000;
/// What Node adds to what is required; TypeScript's, too, for Artillery compiles it.
const ENDINGS: [&str; 10] =
    ["", ".js", ".cjs", ".mjs", ".ts", ".json", "/index.js", "/index.cjs", "/index.mjs", "/index.ts"];
/// Whose text is searched.
const PROGRAMS: [&str; 4] = ["js", "cjs", "mjs", "ts"];

/// `require("x")`, `import "x"`, `import("x")`, `… from "x"`. In a comment or a text, too: what is given needlessly does no harm.
#[allow(clippy::expect_used, reason = "a constant expression, which a test reads")]
static REQUIRED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:\brequire\s*\(|\bimport\s*\(|\bimport|\bfrom)\s*["']([^"'\n]+)["']"#)
        .expect("an expression")
});

/// A file beside the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where it is.
    pub from: PathBuf,
    /// Below the script's folder, such as `data/users.csv`.
    pub path: String,
}

/// What a script needs beside itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its files, by their paths.
    pub files: Vec<Beside>,
    /// Packages that its programs require and that are not Node's own: the workers' image has to have them.
    pub packages: BTreeSet<String>,
    /// Relative paths that are required, and that no file has, each with who requires it: Node knows whether it needs them.
    pub missing: BTreeSet<(String, String)>,
}

/// Looks for them. `more` are files of which the flags speak, as they are written there.
///
/// # Errors
/// One lies outside the script's folder, cannot be read, or there are too many.
pub fn find(
    script: &Path,
    read: &Script,
    environment: Option<&str>,
    more: &[&Path],
) -> Result<Found, Failure> {
    let folder = script.parent().unwrap_or(Path::new(""));
    let mut search = Search {
        script,
        folder,
        files: BTreeMap::new(),
        packages: BTreeSet::new(),
        missing: BTreeSet::new(),
        open: Vec::new(),
    };
    if script.to_str().is_some_and(script::is_program) {
        search.required_by(script, "")?;
    }
    for file in read.files(environment) {
        // what is a template or a pattern only Artillery can tell
        let ending =
            file.endings().iter().find(|ending| folder.join(format!("{}{ending}", file.path)).is_file());
        if let Some(ending) = ending {
            search.add(&format!("{}{ending}", file.path), file.path)?;
        }
    }
    for path in more {
        search.add_from_here(path)?;
    }
    while let Some(file) = search.open.pop() {
        let within = file.path.rsplit_once('/').map_or("", |(within, _)| within).to_owned();
        search.required_by(&file.from, &within)?;
    }
    Ok(Found {
        files: search.files.into_values().collect(),
        packages: search.packages,
        missing: search.missing,
    })
}

struct Search<'a> {
    script: &'a Path,
    folder: &'a Path,
    files: BTreeMap<String, Beside>,
    packages: BTreeSet<String>,
    missing: BTreeSet<(String, String)>,
    /// Those that are not searched yet.
    open: Vec<Beside>,
}

impl Search<'_> {
    fn add(&mut self, path: &str, as_written: &str) -> Result<(), Failure> {
        let below = below(path).ok_or_else(|| {
            Failure::usage(format!(
                "{}: \"{as_written}\" lies outside the script's folder: move it there",
                self.script.display()
            ))
        })?;
        if self.files.contains_key(&below) {
            return Ok(());
        }
        if self.files.len() == MAX_FILES {
            let shown = self.script.display();
            return Err(Failure::usage(format!("{shown} needs more than {MAX_FILES} files beside it")));
        }
        let file = Beside { from: self.folder.join(&below), path: below.clone() };
        // a link may lead elsewhere, and what lies there is nobody's to publish
        below_folder(self.folder, &file.from)?;
        let ending = Path::new(&below).extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| PROGRAMS.contains(&ending)) {
            self.open.push(file.clone());
        }
        self.files.insert(below, file);
        Ok(())
    }

    /// A file as it is named on the command line: from where we are.
    fn add_from_here(&mut self, path: &Path) -> Result<(), Failure> {
        let below = below_folder(self.folder, path)?;
        self.add(&below, &path.display().to_string())
    }

    /// Adds what a program requires that lies in that folder below the script's.
    fn required_by(&mut self, program: &Path, within: &str) -> Result<(), Failure> {
        let size = fs::metadata(program).map_err(|error| Failure::file("read", program, &error))?.len();
        if size > MAX_SEARCHED {
            return Ok(());
        }
        let bytes = fs::read(program).map_err(|error| Failure::file("read", program, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        for required in REQUIRED.captures_iter(&text).filter_map(|found| found.get(1)) {
            let required = required.as_str();
            if !required.starts_with('.') {
                self.packages.extend(package(required).map(str::to_owned));
                continue;
            }
            let base = if within.is_empty() { required.to_owned() } else { format!("{within}/{required}") };
            // one that is not there may be in a try, or in a comment: Node knows
            let ending = ENDINGS.iter().find(|ending| self.folder.join(format!("{base}{ending}")).is_file());
            match ending {
                Some(ending) => self.add(&format!("{base}{ending}"), required)?,
                None => drop(self.missing.insert((required.to_owned(), program.display().to_string()))),
            }
        }
        Ok(())
    }
}

/// A path that a script names, in its shortest form; `None` where it leads out of the script's folder.
pub fn below(path: &str) -> Option<String> {
    script::below(path).filter(|_| !path.starts_with('/'))
}

/// Where a file that is named from here lies below that folder.
///
/// # Errors
/// It is not there, or elsewhere.
pub fn below_folder(folder: &Path, path: &Path) -> Result<String, Failure> {
    let whole = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::canonicalize(path).map_err(|error| Failure::file("find", path, &error))
    };
    let (whole_folder, file) = (whole(folder)?, whole(path)?);
    let below = file.strip_prefix(&whole_folder).ok().and_then(Path::to_str);
    below.map(str::to_owned).ok_or_else(|| {
        let (shown, folder) = (path.display(), whole_folder.display());
        Failure::usage(format!("{shown} lies outside the script's folder {folder}: move it there"))
    })
}

impl Found {
    /// What is to be said of what programs require and is not given.
    pub fn notes(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(required, by)| {
            format!("{by} requires \"{required}\", and there is no such file: Artillery cannot load it, unless it does without")
        });
        let names = self.packages.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let packages = (!names.is_empty()).then(|| {
            format!("Required, and not given: {names}. The image of the workers must have what Artillery's own does not (docs/cli.md)")
        });
        missing.chain(packages).collect()
    }
}

/// The package of what is required, such as `lodash` of `lodash/fp`; `None` of Node's own.
fn package(required: &str) -> Option<&str> {
    const NODES: [&str; 32] = [
        "assert",
        "async_hooks",
        "buffer",
        "child_process",
        "cluster",
        "console",
        "constants",
        "crypto",
        "dgram",
        "dns",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "stream",
        "string_decoder",
        "timers",
        "tls",
        "url",
        "util",
        "worker_threads",
        "zlib",
    ];
    if required.starts_with("node:") || required.starts_with('/') {
        return None;
    }
    let parts = if required.starts_with('@') { 2 } else { 1 };
    let end = required.match_indices('/').nth(parts - 1).map_or(required.len(), |(at, _)| at);
    let name = &required[..end];
    (!NODES.contains(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, more: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let script = folder.path().join("load/script.yaml");
        let read = script::read(&fs::read_to_string(&script).expect("a script")).expect("a script");
        let more: Vec<_> = more.iter().map(|path| folder.path().join(path)).collect();
        let more: Vec<_> = more.iter().map(PathBuf::as_path).collect();
        let shown = folder.path().canonicalize().expect("a folder").display().to_string();
        let found =
            find(&script, &read, None, &more).map_err(|failure| failure.to_string().replace(&shown, ""))?;
        Ok((found.files.into_iter().map(|file| file.path).collect(), found.packages.into_iter().collect()))
    }

    #[test]
    fn what_the_processor_requires_is_found_and_what_that_requires() {
        let folder = project(&[
            (
                "load/script.yaml",
                "config: {processor: ./hooks, payload: [{path: data/a.csv}, {path: 'data/*.csv'}]}",
            ),
            (
                "load/hooks.ts",
                "import { a } from './lib/a';\nimport './lib';\nconst fs = require('fs'), x = await import(\"./lib/x.json\");\ntry { require('./not-there') } catch {}",
            ),
            (
                "load/lib/a.js",
                "const b = require ( '../b' ); require('lodash/fp'); require('@faker-js/faker/locale'); require('node:path')",
            ),
            ("load/lib/index.mjs", "export * from './a.js'"),
            ("load/lib/x.json", "{}"),
            ("load/b.cjs", "require('./hooks')"),
            ("load/data/a.csv", "a"),
            ("load/not-named.js", ""),
        ]);
        let (files, packages) = found(&folder, &["load/data/a.csv"]).expect("files");
        assert_eq!(files, ["b.cjs", "data/a.csv", "hooks.ts", "lib/a.js", "lib/index.mjs", "lib/x.json"]);
        assert_eq!(packages, ["@faker-js/faker", "lodash"]);
        let script = folder.path().join("load/script.yaml");
        let read = script::read(&fs::read_to_string(&script).expect("a script")).expect("a script");
        let notes = find(&script, &read, None, &[]).expect("files").notes();
        assert!(
            notes[0].contains("hooks.ts requires \"./not-there\", and there is no such file"),
            "{notes:?}"
        );
        assert!(notes[1].starts_with("Required, and not given: @faker-js/faker, lodash."), "{notes:?}");
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        let folder = project(&[
            ("load/script.yaml", "config: {processor: ./hooks.js}"),
            ("load/hooks.js", "require('../shared')"),
            ("shared.js", ""),
            (".env", ""),
        ]);
        let error = found(&folder, &[]).expect_err("outside");
        assert!(error.ends_with("\"../shared\" lies outside the script's folder: move it there"), "{error}");
        fs::write(folder.path().join("load/hooks.js"), "require('./link')").expect("a file");
        std::os::unix::fs::symlink("../shared.js", folder.path().join("load/link.js")).expect("a link");
        let error = found(&folder, &[]).expect_err("outside");
        assert!(
            error.ends_with("load/link.js lies outside the script's folder /load: move it there"),
            "{error}"
        );
        fs::write(folder.path().join("load/hooks.js"), "").expect("a file");
        let error = found(&folder, &[".env"]).expect_err("outside");
        assert!(error.ends_with("lies outside the script's folder /load: move it there"), "{error}");
    }
}
