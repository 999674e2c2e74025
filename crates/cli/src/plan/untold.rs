//! The files of a script that only Artillery can name: nobody gives them to workers in a cluster, and whoever runs it there is told so.

use loadtest::script::NamedFile;

use super::checks::place_of;
use super::problem::Problem;
use crate::project::Project;

const GIVE: &str = "give it by spec.testScript.files in a manifest, or have it in their image";

/// What workers in a cluster are not given, each where it is named.
pub fn not_given(project: &Project) -> Vec<Problem> {
    let sources = project.sources();
    let of_texts = project.merged().files().into_iter().filter(|file| !file.is_known()).map(|file| {
        let NamedFile { what, path, .. } = &file;
        let why = format!(
            "{what} is {path:?}, and only Artillery can tell which file that is: workers in a cluster are not given it; {GIVE}"
        );
        match place_of(&sources, &file) {
            Some((file, at)) => Problem::at(&file, at, why),
            None => Problem::nowhere(format!("--overrides: {why}")),
        }
    });
    let of_programs = project.naming_programs.iter().map(|program| {
        Problem::nowhere(format!(
            "{program} is a program, and only Artillery can tell what its payload and processor are: workers in a cluster are not given a file that it does not require; {GIVE}"
        ))
    });
    of_texts.chain(of_programs).map(Problem::of_cluster).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::flags::Options;

    #[test]
    fn files_that_only_artillery_can_name_are_told_where_they_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let told = |script: &str, config: &str| {
            let flags = Options { config: Some(path(config)), ..Options::default() };
            let project = Project::read(&path(script), &flags).expect("a project");
            let told = not_given(&project);
            assert!(told.iter().all(|problem| problem.is_of_cluster));
            let told = told.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
            told.replace(&format!("{}/", folder.path().display()), "")
        };
        for (name, text) in [
            ("s.yaml", "config: {payload: [{path: '{{ $env.F }}'}, {path: a.csv}]}"),
            ("plain.json", "{\"config\": {\"processor\": \"./hooks.js\"}}"),
            ("c.yaml", "config: {processor: './{{ p }}.js'}"),
            ("naming.ts", "export const config = { target: 'a', payload: { path: 'users.csv' } };"),
            ("plain.js", "module.exports = { config: { target: 'a' } };"),
        ] {
            fs::write(path(name), text).expect("a file");
        }
        let said = told("s.yaml", "c.yaml");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].starts_with("s.yaml:1:27: config.payload.path is \"{{ $env.F }}\", and only"),
            "{said}"
        );
        assert!(
            lines[1].starts_with("c.yaml:1:21: config.processor is \"./{{ p }}.js\", and only"),
            "{said}"
        );
        let said = told("naming.ts", "plain.json");
        assert!(
            said.starts_with("naming.ts is a program, and only Artillery") && !said.contains('\n'),
            "{said}"
        );
        assert_eq!(told("plain.js", "plain.json"), "");
    }
}
