//! The steps of a scenario's flow: what is wrong with them, and what Artillery sends as a request that is meant as none.

use super::super::config::{Setting, Sources};
use super::super::document::Node;
use super::super::problem::Problem;
use super::Found;

/// Engines that take their flow as steps of one key each.
const STEPS: [&str; 3] = ["http", "ws", "socketio"];
/// Steps of the HTTP engine that Artillery looks at before they run.
const REQUESTS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Those that are no requests.
const OTHERS: [&str; 5] = ["loop", "parallel", "think", "log", "function"];
/// Any other key of a step is sent as the method of a request: these are some (Node.js knows them).
const METHODS: [&str; 30] = [
    "acl",
    "bind",
    "checkout",
    "connect",
    "copy",
    "head",
    "link",
    "lock",
    "m-search",
    "merge",
    "mkactivity",
    "mkcalendar",
    "mkcol",
    "move",
    "notify",
    "options",
    "propfind",
    "proppatch",
    "purge",
    "query",
    "rebind",
    "report",
    "search",
    "source",
    "subscribe",
    "trace",
    "unbind",
    "unlink",
    "unlock",
    "unsubscribe",
];
/// Artillery's own plugins, which make no steps of their own.
const PLUGINS: [&str; 7] =
    ["apdex", "ensure", "expect", "fake-data", "metrics-by-endpoint", "publish-metrics", "slack"];

/// Whether plugins are named that may change the steps: nobody knows what such a one takes.
pub(super) fn has_other_plugins(sources: &Sources<'_>) -> bool {
    let overridden = sources.overrides.and_then(|overrides| overrides.pointer("/config/plugins"));
    let is_other = |Setting { node, .. }: &Setting<'_>| {
        node.entries().iter().any(|(key, _)| !PLUGINS.contains(&key.text.as_str()))
    };
    overridden.is_some() || sources.all("plugins").iter().any(is_other)
}

impl Found {
    /// A scenario, or a hook, has a flow of steps.
    pub(super) fn flow(&mut self, file: &str, scenario: &Node, has_other_plugins: bool) {
        let engine = scenario.get("engine").and_then(Node::text).unwrap_or("http");
        if !STEPS.contains(&engine) {
            return;
        }
        match scenario.entry("flow") {
            None => {
                let message = "this has no flow: a list of steps is expected";
                self.problems.push(Problem::at(file, scenario.at, message));
            }
            Some((key, flow)) => match flow.list() {
                Some(steps) => {
                    self.steps(file, engine, steps);
                    if engine == "http" && !has_other_plugins {
                        self.misspelt(file, steps);
                    }
                }
                None => {
                    self.problems.push(Problem::at(file, key.at, "flow is expected to be a list of steps"));
                }
            },
        }
    }

    fn steps(&mut self, file: &str, engine: &str, steps: &[Node]) {
        for step in steps {
            if let Some(steps) = step.get("loop").and_then(Node::list) {
                self.steps(file, engine, steps);
                continue;
            }
            let names: Vec<_> = step.entries().iter().map(|(key, _)| key.text.as_str()).collect();
            if engine != "socketio" && names.len() != 1 {
                let is = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                let message = format!(
                    "a step has one key, such as get, and this one has {is}: what belongs to it is indented deeper; another step begins with a dash"
                );
                self.problems.push(Problem::at(file, step.at, message));
            }
            for (key, request) in
                step.entries().iter().filter(|(key, _)| REQUESTS.contains(&key.text.as_str()))
            {
                if engine == "http" && request.get("url").and_then(Node::text).is_none() {
                    let message = format!("this {} has no url: a text is expected", key.text);
                    self.problems.push(Problem::at(file, key.at, message));
                }
            }
        }
    }

    /// What is sent as a request of a method that there is none of: such as `gett`, and `GET`, of which nothing is sent.
    fn misspelt(&mut self, file: &str, steps: &[Node]) {
        for step in steps {
            for nested in ["loop", "parallel"].iter().filter_map(|key| step.get(key).and_then(Node::list)) {
                self.misspelt(file, nested);
            }
            let [(key, _)] = step.entries() else { continue };
            let name = key.text.as_str();
            if ![&REQUESTS[..], &OTHERS, &METHODS].iter().any(|known| known.contains(&name)) {
                let message = format!(
                    "Artillery knows no step {name}, and takes it for a request of that method: it knows {} and {}, in small letters",
                    REQUESTS.join(", "),
                    OTHERS.join(", ")
                );
                self.warnings.push(Problem::at(file, key.at, message));
            }
        }
    }
}
