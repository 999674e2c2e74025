//! The files that a script needs beside itself: those that it names, and those that its processor requires, and so on. Each lies below the
//! script's folder, where a ConfigMap can put it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use loadtest::script::{self, Base, Merged, NamedFile};
use regex::Regex;

use crate::exit::Failure;
use crate::plan::Problem;

/// No file that is searched for what it requires is larger, in bytes.
const MAX_SEARCHED: u64 = 4 << 20;
/// A project has no more files.
const MAX_FILES: usize = 2_000;
/// What Node adds to what is required; TypeScript's, too, for Artillery compiles it.
const ENDINGS: [&str; 10] =
    ["", ".js", ".cjs", ".mjs", ".ts", ".json", "/index.js", "/index.cjs", "/index.mjs", "/index.ts"];
/// What TypeScript's own programs call each other by, and what those are: esbuild takes the latter where the former is not there.
const COMPILED: [(&str, &str); 3] = [(".js", ".ts"), (".mjs", ".mts"), (".cjs", ".cts")];
/// Whose text is searched.
const PROGRAMS: [&str; 6] = ["js", "cjs", "mjs", "ts", "mts", "cts"];

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

/// Where the files of a script are looked for.
#[derive(Clone, Debug)]
pub struct Folders {
    script: PathBuf,
    /// The folder of the file of `--config`, and where that lies below the script's, if it does.
    config: Option<(PathBuf, Option<String>)>,
}

/// A file that a script names, where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where it is.
    pub from: PathBuf,
    /// Below the script's folder; `None` where it lies elsewhere.
    pub below: Option<String>,
}

impl Folders {
    /// Those of a script, and of the file of `--config`.
    pub fn of(script: &Path, config: Option<&Path>) -> Self {
        let folder = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
        let of_config = |config: &Path| {
            let below = below_folder(&folder(script), config).ok();
            let within = |file: String| file.rsplit_once('/').map_or("", |(within, _)| within).to_owned();
            (folder(config), below.map(within))
        };
        Self { script: folder(script), config: config.map(of_config) }
    }

    /// Where paths lead from as a rule.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// A file as Artillery finds it; `None` where there is none.
    pub fn locate(&self, file: &NamedFile) -> Option<Located> {
        let path = &file.path;
        let ending = |folder: &Path| {
            file.endings()
                .iter()
                .map(|ending| format!("{path}{ending}"))
                .find(|path| folder.join(path).is_file())
        };
        match (file.base, &self.config) {
            (Base::Working, _) => {
                let from = PathBuf::from(path);
                let below = || below_folder(&self.script, &from).ok();
                from.is_file().then(|| Located { below: below(), from: from.clone() })
            }
            // Artillery itself adds no ending there
            (Base::Config, Some((folder, within))) if folder.join(path).exists() => {
                let path = ending(folder)?;
                let whole = within.as_ref().map(|within| format!("{within}/{path}"));
                let below = whole.filter(|_| !path.starts_with('/')).and_then(|whole| script::below(&whole));
                Some(Located { from: folder.join(path), below })
            }
            _ => {
                let path = ending(&self.script)?;
                Some(Located { from: self.script.join(&path), below: below(&path) })
            }
        }
    }
}

/// Looks for them. `config` is the file of `--config`.
///
/// # Errors
/// One lies outside the script's folder, cannot be read, or there are too many.
pub fn find(script: &Path, merged: &Merged<'_>, config: Option<&Path>) -> Result<Found, Failure> {
    let folders = Folders::of(script, config);
    let mut search = Search {
        script,
        folder: folders.script(),
        files: BTreeMap::new(),
        packages: BTreeSet::new(),
        missing: BTreeSet::new(),
        open: Vec::new(),
    };
    if script.to_str().is_some_and(script::is_program) {
        search.required_by(script, "")?;
    }
    for file in merged.files() {
        // what is not there was said, and what is a template only Artillery can tell
        if let Some(Located { below, .. }) = folders.locate(&file) {
            search.add(below, &file.path)?;
        }
    }
    if let Some(path) = config {
        search.add(Some(below_folder(folders.script(), path)?), &path.display().to_string())?;
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
    fn add(&mut self, below: Option<String>, as_written: &str) -> Result<(), Failure> {
        let below = below.ok_or_else(|| {
            Failure::usage(format!("{}: {}", self.script.display(), lies_outside(as_written)))
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

    /// Adds what a program requires that lies in that folder below the script's.
    fn required_by(&mut self, program: &Path, within: &str) -> Result<(), Failure> {
        let size = fs::metadata(program).map_err(|error| Failure::input("read", program, &error))?.len();
        if size > MAX_SEARCHED {
            return Ok(());
        }
        let bytes = fs::read(program).map_err(|error| Failure::input("read", program, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        for required in REQUIRED.captures_iter(&text).filter_map(|found| found.get(1)) {
            let required = required.as_str();
            if !required.starts_with('.') {
                self.packages.extend(package(required).map(str::to_owned));
                continue;
            }
            let base = if within.is_empty() { required.to_owned() } else { format!("{within}/{required}") };
            // one that is not there may be in a try, or in a comment: Node knows
            match candidates(program, &base).find(|path| self.folder.join(path).is_file()) {
                Some(path) => self.add(below(&path), required)?,
                None => drop(self.missing.insert((required.to_owned(), program.display().to_string()))),
            }
        }
        Ok(())
    }
}

/// The paths by which what a program requires may be found, the first that is there.
fn candidates<'a>(program: &Path, required: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let ending = program.extension().and_then(|ending| ending.to_str());
    let is_typescript = ending.is_some_and(|ending| ending.ends_with("ts"));
    let compiled = COMPILED
        .iter()
        .filter(move |_| is_typescript)
        .filter_map(move |(called, is)| Some(format!("{}{is}", required.strip_suffix(called)?)));
    ENDINGS.iter().map(move |ending| format!("{required}{ending}")).chain(compiled)
}

/// What is said of a file that no ConfigMap can put where it is looked for.
pub fn lies_outside(path: &str) -> String {
    format!("\"{path}\" lies outside the script's folder: move it there")
}

/// A path that a script names, in its shortest form; `None` where it leads out of the script's folder.
fn below(path: &str) -> Option<String> {
    script::below(path).filter(|_| !path.starts_with('/'))
}

/// Where a file that is named from here lies below that folder.
///
/// # Errors
/// It is not there, or elsewhere.
pub fn below_folder(folder: &Path, path: &Path) -> Result<String, Failure> {
    let whole = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::canonicalize(path).map_err(|error| Failure::input("find", path, &error))
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
    pub fn notes(&self) -> Vec<Problem> {
        let missing = self.missing.iter().map(|(required, by)| {
            Problem::nowhere(format!("{by} requires \"{required}\", and there is no such file: Artillery cannot load it, unless it does without"))
        });
        let names = self.packages.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let packages = (!names.is_empty()).then(|| {
            Problem::nowhere(format!("Required, and not given: {names}. The image of the workers must have what Artillery's own does not (docs/cli.md)"))
                .of_cluster()
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
