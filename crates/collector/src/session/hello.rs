//! What a worker says when it joins: versions, and the script's phases and checks as Artillery resolved them. One is kept, for
//! all workers of a load test say the same; where one does not, that is noted.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol's version that is spoken here.
pub const PROTOCOL: u64 = 2;
/// The one before, which is still understood.
pub const OLDEST_PROTOCOL: u64 = 1;
/// Since this version a worker takes a share of the load.
pub const SHARING_PROTOCOL: u64 = 2;
/// No version has more characters.
const MAX_VERSION: usize = 64;
/// No script has more payloads than are worth counting.
const MAX_PAYLOADS: usize = 1000;
/// So many workers that differ are named.
pub const MAX_DIFFERING: usize = 20;

/// The body of `POST /v1/join`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's version that it speaks.
    #[serde(default)]
    pub protocol: u64,
    /// The reporter's version.
    #[serde(default)]
    pub reporter: String,
    /// Artillery's version.
    #[serde(default)]
    pub artillery: String,
    /// Node's version.
    #[serde(default)]
    pub node: String,
    /// The phases as Artillery resolved them: a list of objects, or nothing.
    #[serde(default)]
    pub phases: Value,
    /// The checks as Artillery resolved them, or nothing.
    #[serde(default)]
    pub ensure: Value,
    /// The number of rows of each payload, where it is known; of one that every worker has as a whole it is not told.
    #[serde(default)]
    pub rows: Vec<Option<u64>>,
}

/// Why a join is not understood.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// It is no such JSON.
    #[error("the join is not understood: {0}")]
    Malformed(String),
    /// Another version.
    #[error(
        "`protocol` is {0}: this collector speaks version {PROTOCOL}, and understands {OLDEST_PROTOCOL} and later; use the reporter that belongs to it"
    )]
    Protocol(String),
    /// A version that is none.
    #[error("`{0}` has {1} characters: at most {MAX_VERSION} are expected")]
    Version(&'static str, usize),
    /// No list of phases.
    #[error("`phases` is {0}: a list of objects is expected, or null")]
    Phases(&'static str),
    /// Too many payloads.
    #[error("`rows` has {0} entries: at most {MAX_PAYLOADS} are expected")]
    Rows(usize),
}

impl Hello {
    /// Reads the body of a join.
    ///
    /// # Errors
    /// It is not understood; the error names the field, and what would be right.
    pub fn read(body: &[u8]) -> Result<Self, HelloError> {
        let malformed = |error: serde_json::Error| HelloError::Malformed(error.to_string());
        let Spoken { protocol } = serde_json::from_slice(body).map_err(malformed)?;
        match protocol.as_u64() {
            Some(OLDEST_PROTOCOL..=PROTOCOL) => {}
            _ => return Err(HelloError::Protocol(protocol.to_string().chars().take(20).collect())),
        }
        let hello: Self = serde_json::from_slice(body).map_err(malformed)?;
        for (name, version) in
            [("reporter", &hello.reporter), ("artillery", &hello.artillery), ("node", &hello.node)]
        {
            let length = version.chars().count();
            if length > MAX_VERSION {
                return Err(HelloError::Version(name, length));
            }
        }
        let is_list_of_objects = match &hello.phases {
            Value::Null => true,
            Value::Array(phases) => phases.iter().all(Value::is_object),
            _ => false,
        };
        if !is_list_of_objects {
            return Err(HelloError::Phases(kind(&hello.phases)));
        }
        if hello.rows.len() > MAX_PAYLOADS {
            return Err(HelloError::Rows(hello.rows.len()));
        }
        Ok(hello)
    }
}

/// The part that tells how the rest is to be read.
#[derive(Deserialize)]
struct Spoken {
    #[serde(default)]
    protocol: Value,
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list that holds something else",
        Value::Object(_) => "an object",
    }
}

/// Which workers say something else than the first one did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// Other phases.
    pub phases: Others,
    /// Other checks.
    pub ensure: Others,
    /// Other versions of the reporter, Artillery or Node.
    pub versions: Others,
    /// Other numbers of rows.
    pub rows: Others,
}

/// Some workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many.
    pub count: u32,
    /// The first of them, by completion index.
    pub first: Vec<u32>,
}

impl Differing {
    /// Compares what the worker `index` says with what the first one said.
    pub fn add(&mut self, index: u32, first: &Hello, hello: &Hello) {
        let versions = |hello: &Hello| [&hello.reporter, &hello.artillery, &hello.node].map(String::to_owned);
        self.phases.add_if(first.phases != hello.phases, index);
        self.ensure.add_if(first.ensure != hello.ensure, index);
        self.versions.add_if(versions(first) != versions(hello), index);
        self.rows.add_if(first.rows != hello.rows, index);
    }
}

impl Others {
    fn add_if(&mut self, differs: bool, index: u32) {
        if differs {
            self.count += 1;
            if self.first.len() < MAX_DIFFERING {
                self.first.push(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(body: &str) -> String {
        Hello::read(body.as_bytes()).expect_err("an error").to_string()
    }

    #[test]
    fn a_join_is_read_and_what_it_does_not_say_is_nothing() {
        let body = r#"{"protocol": 1, "reporter": "0.2.0", "phases": [{"duration": 60}], "rows": [3, null], "later": 1}"#;
        let hello = Hello::read(body.as_bytes()).expect("a join");
        assert_eq!((hello.reporter.as_str(), hello.artillery.as_str()), ("0.2.0", ""));
        assert_eq!((hello.phases[0]["duration"].as_u64(), hello.rows), (Some(60), vec![Some(3), None]));
        assert_eq!(hello.ensure, Value::Null);
    }

    #[test]
    fn a_join_that_is_not_understood_gets_an_error_that_names_the_field() {
        assert!(why("{").starts_with("the join is not understood: EOF"));
        assert!(why(r#"{"protocol": 3}"#).starts_with("`protocol` is 3: this collector speaks version 2"));
        assert!(why("{}").starts_with("`protocol` is null"));
        assert!(
            why(r#"{"protocol": 1, "phases": {}}"#).starts_with("`phases` is an object: a list of objects")
        );
        assert!(why(r#"{"protocol": 1, "phases": [1]}"#).contains("a list that holds something else"));
        let long = "9".repeat(65);
        assert_eq!(
            why(&format!(r#"{{"protocol": 1, "node": "{long}"}}"#)),
            "`node` has 65 characters: at most 64 are expected"
        );
        assert!(why(r#"{"protocol": 1, "rows": [-1]}"#).contains("invalid value: integer `-1`"));
        let (open, shut) = ("[".repeat(100_000), "]".repeat(100_000));
        let deep = format!(r#"{{"protocol": 1, "phases": {open}{shut}}}"#);
        assert!(why(&deep).contains("recursion limit"), "{}", why(&deep));
    }

    #[test]
    fn who_says_something_else_is_named_and_many_are_counted() {
        let first = Hello { node: "24".into(), ..Hello::default() };
        let mut differing = Differing::default();
        differing.add(1, &first, &first);
        assert_eq!(differing, Differing::default());
        for index in 0..50 {
            differing.add(index, &first, &Hello { ensure: Value::Bool(true), ..first.clone() });
        }
        assert_eq!((differing.ensure.count, differing.ensure.first.len()), (50, MAX_DIFFERING));
        assert_eq!((differing.phases.count, differing.versions.count), (0, 0));
    }
}
