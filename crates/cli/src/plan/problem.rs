//! What is wrong with a script, each with its place: the form in which compilers say it.

use std::fmt;

use serde::Serialize;

use super::config::Setting;
use super::document::Place;

/// Something that its user has to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file that it is in, as it was named; none for what was typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in it.
    #[serde(flatten)]
    pub at: Option<Place>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether it is wrong in a cluster only: what Kubernetes or the operator would refuse.
    #[serde(skip)]
    pub is_of_cluster: bool,
}

impl Problem {
    /// At a place.
    pub fn at(file: &str, at: Place, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), at: Some(at), message: message.into(), is_of_cluster: false }
    }

    /// At the key of a setting.
    pub fn of(setting: &Setting<'_>, message: impl Into<String>) -> Self {
        Self::at(setting.file, setting.key.at, message)
    }

    /// Of something that stands in no file.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { file: None, at: None, message: message.into(), is_of_cluster: false }
    }

    /// The same, in a cluster only.
    #[must_use]
    pub fn of_cluster(self) -> Self {
        Self { is_of_cluster: true, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(Place { line, column }) = self.at {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}
