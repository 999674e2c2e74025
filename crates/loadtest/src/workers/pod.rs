//! One worker's pod, read as what its worker is doing, and why, in Kubernetes' words.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Timestamp;

/// The label that carries a pod's completion index.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// A pod that is still there this long after it should have been gone is most likely on a node that nobody hears of: its
/// kubelet would have removed it. The API server's clock is compared with the manager's here.
pub const LOST_AFTER_SECONDS: i64 = 60;
/// No more of a message of Kubernetes is passed on, in characters.
const MAX_WORDS: usize = 200;
/// No more of a log is passed on: so many lines, and so many characters.
const LAST_LINES: usize = 5;
const LAST_WORDS: usize = 400;
/// Reasons of waiting that are the way every pod begins.
const USUAL: [&str; 2] = [CREATING, INITIALIZING];
const CREATING: &str = "ContainerCreating";
const INITIALIZING: &str = "PodInitializing";

/// One worker's pod.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerPod {
    /// `metadata.uid`.
    pub uid: String,
    /// Its completion index; the first operator's Jobs have none.
    pub index: Option<u32>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its worker container began to run.
    pub started: Option<Timestamp>,
    /// What it is doing.
    pub state: WorkerState,
    /// Whether Kubernetes has ended it, or is about to.
    pub is_disrupted: bool,
    /// How the log of a worker that failed ends, on one line.
    pub last_words: Option<String>,
}

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerState {
    /// Its container does not run yet; why, if Kubernetes says.
    Waiting(Option<Why>),
    /// Its container runs.
    Running,
    /// Its container exited with code 0.
    Succeeded {
        /// When.
        at: Option<Timestamp>,
    },
    /// It ended otherwise.
    Failed {
        /// When, if a container ran.
        at: Option<Timestamp>,
        /// Its exit code, if a container ran.
        code: Option<i32>,
        /// Such as `exited with code 1` or `OOMKilled (exit code 137)`.
        cause: String,
    },
    /// Nobody hears of it: its pod should have been gone for [`LOST_AFTER_SECONDS`].
    Lost,
}

/// Why a worker waits, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// One CamelCase word, such as `ImagePullBackOff`.
    pub reason: String,
    /// The first line of its explanation, shortened; may be empty.
    pub message: String,
}

impl Why {
    /// `None` without a reason.
    pub fn new(reason: Option<&str>, message: Option<&str>) -> Option<Self> {
        Some(Self { reason: reason?.to_owned(), message: brief(message.unwrap_or_default()) })
    }

    /// Whether this is more than the way every pod begins.
    pub fn is_problem(&self) -> bool {
        !USUAL.contains(&self.reason.as_str())
    }
}

impl WorkerPod {
    /// When its container ended, if that is known.
    pub fn ended(&self) -> Option<Timestamp> {
        match &self.state {
            WorkerState::Succeeded { at } | WorkerState::Failed { at, .. } => *at,
            WorkerState::Waiting(_) | WorkerState::Running | WorkerState::Lost => None,
        }
    }

    pub(super) fn of(pod: &Pod, container: &str, now: Timestamp) -> Self {
        let index =
            pod.metadata.labels.as_ref().and_then(|l| l.get(COMPLETION_INDEX)).and_then(|i| i.parse().ok());
        let default = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&default);
        let statuses = status.container_statuses.iter().flatten();
        let container_state =
            statuses.into_iter().find(|s| s.name == container).and_then(|s| s.state.as_ref());
        let overdue = pod.metadata.deletion_timestamp.as_ref().map(|at| now.as_second() - at.0.as_second());
        let state = match state(status, container_state) {
            WorkerState::Waiting(_) | WorkerState::Running
                if overdue.is_some_and(|seconds| seconds >= LOST_AFTER_SECONDS) =>
            {
                WorkerState::Lost
            }
            state => state,
        };
        let started = container_state.and_then(|s| {
            let running = s.running.as_ref().and_then(|r| r.started_at.as_ref());
            let terminated = s.terminated.as_ref().and_then(|t| t.started_at.as_ref());
            running.or(terminated).map(instant)
        });
        let is_disrupted = status.reason.is_some() || disruption(status).is_some();
        let created = pod.metadata.creation_timestamp.as_ref().map(instant);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let failed = container_state.and_then(|s| s.terminated.as_ref()).filter(|end| end.exit_code != 0);
        let log = failed.filter(|end| is_of_the_log(end)).and_then(|end| end.message.as_deref());
        let last_words = log.map(last_words).filter(|words| !words.is_empty());
        Self { uid, index, created, started, state, is_disrupted, last_words }
    }

    /// Whether it waits, and its state does not say for what.
    pub(super) fn is_unexplained(&self) -> bool {
        match &self.state {
            WorkerState::Waiting(None) => true,
            WorkerState::Waiting(Some(why)) => !why.is_problem() && why.message.is_empty(),
            _ => false,
        }
    }
}

fn state(status: &PodStatus, container: Option<&ContainerState>) -> WorkerState {
    match (container, status.phase.as_deref()) {
        (Some(ContainerState { terminated: Some(end), .. }), _) => ended(status, end),
        (_, Some("Failed")) => {
            let (at, cause) = match (status.reason.as_deref(), status.message.as_deref()) {
                (Some(reason), Some(message)) => (None, format!("{reason}: {}", brief(message))),
                (Some(reason), None) => (None, reason.to_owned()),
                (None, _) => failed_init(status).unwrap_or_else(|| (None, "its pod failed".to_owned())),
            };
            WorkerState::Failed { at, code: None, cause: disrupted(status, cause) }
        }
        (_, Some("Succeeded")) => WorkerState::Succeeded { at: None },
        (Some(ContainerState { running: Some(_), .. }), _) => WorkerState::Running,
        (Some(ContainerState { waiting: Some(waiting), .. }), _) => {
            let why = Why::new(waiting.reason.as_deref(), waiting.message.as_deref());
            let is_initializing = why.as_ref().is_none_or(|why| why.reason == INITIALIZING);
            WorkerState::Waiting(if is_initializing { initializing(status).or(why) } else { why })
        }
        _ => WorkerState::Waiting(unscheduled(status).or_else(|| initializing(status))),
    }
}

/// What the init container does that the pod is at: the last one that has anything to say, for those before it have ended, or
/// are side-cars.
fn initializing(status: &PodStatus) -> Option<Why> {
    status.init_container_statuses.iter().flatten().rev().find_map(|init| {
        let (reason, words) = match init.state.as_ref()? {
            ContainerState { terminated: Some(end), .. } if end.exit_code == 0 => return None,
            ContainerState { terminated: Some(end), .. } => {
                (end.reason.as_deref().unwrap_or("Error"), format!("exited with code {}", end.exit_code))
            }
            ContainerState { running: Some(_), .. } => (INITIALIZING, "runs".to_owned()),
            ContainerState { waiting: Some(waiting), .. } => {
                let reason = waiting.reason.as_deref().filter(|reason| !USUAL.contains(reason))?;
                (reason, waiting.message.clone().unwrap_or_else(|| "waits".to_owned()))
            }
            _ => return None,
        };
        Why::new(Some(reason), Some(&format!("init container {}: {words}", init.name)))
    })
}

/// When and how an init container failed, after which its pod has.
fn failed_init(status: &PodStatus) -> Option<(Option<Timestamp>, String)> {
    status.init_container_statuses.iter().flatten().find_map(|init| {
        let end = init.state.as_ref()?.terminated.as_ref()?;
        let cause = failure(end)?;
        Some((end.finished_at.as_ref().map(instant), format!("init container {}: {cause}", init.name)))
    })
}

fn ended(status: &PodStatus, end: &ContainerStateTerminated) -> WorkerState {
    let at = end.finished_at.as_ref().map(instant);
    match failure(end) {
        None => WorkerState::Succeeded { at },
        Some(cause) => WorkerState::Failed { at, code: Some(end.exit_code), cause: disrupted(status, cause) },
    }
}

/// How a container failed, if it did.
fn failure(end: &ContainerStateTerminated) -> Option<String> {
    Some(match (end.exit_code, end.reason.as_deref(), end.message.as_deref()) {
        (0, _, _) => return None,
        (code, Some(reason), _) if is_of_the_log(end) && reason != "Error" => {
            format!("{reason} (exit code {code})")
        }
        (code, None | Some("Error"), _) => format!("exited with code {code}"),
        (code, Some(reason), Some(message)) => format!("{reason} (exit code {code}): {}", brief(message)),
        (code, Some(reason), None) => format!("{reason} (exit code {code})"),
    })
}

/// Whether the message of a container that ended is of its own, the end of its log, and not the runtime's.
fn is_of_the_log(end: &ContainerStateTerminated) -> bool {
    matches!(end.reason.as_deref(), None | Some("Error" | "OOMKilled" | "Completed"))
}

/// The last lines of a log on one line, without what moves a terminal's cursor, or worse.
fn last_words(log: &str) -> String {
    let mut plain = String::new();
    let mut rest = log.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // ESC [ parameters letter: colours
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
            }
            '\n' => plain.push(c),
            c if c.is_control() || is_invisible(c) => {}
            c => plain.push(c),
        }
    }
    let lines: Vec<_> = plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
    match last.char_indices().rev().nth(LAST_WORDS - 1) {
        Some((start, _)) if start > 0 => format!("…{}", &last[start..]),
        _ => last,
    }
}

/// What turns the direction of a text, ends a line, or is not seen: as `is_hidden` of metrics has it.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// What Kubernetes did to the pod comes first: the exit code is only what followed from it.
fn disrupted(status: &PodStatus, cause: String) -> String {
    match disruption(status) {
        Some(reason) => format!("{reason}: {cause}"),
        None => cause,
    }
}

fn disruption(status: &PodStatus) -> Option<&str> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?.reason.as_deref()
}

fn unscheduled(status: &PodStatus) -> Option<Why> {
    let conditions = status.conditions.iter().flatten();
    let mut scheduled = conditions.into_iter().filter(|c| c.type_ == "PodScheduled" && c.status == "False");
    scheduled.next().and_then(|c| Why::new(c.reason.as_deref(), c.message.as_deref()))
}

/// The first line of what Kubernetes says, shortened.
pub fn brief(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn instant(time: &Time) -> Timestamp {
    time.0
}
