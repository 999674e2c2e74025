//! Log lines: text or JSON on standard error, each with the object that it is about.

use tracing_subscriber::EnvFilter;

use crate::flags::{Flags, LogFormat};

/// Starts logging as the flags say; what they ask for in vain is said as a warning.
pub fn init(flags: &Flags) {
    let directives = flags.directives();
    let (filter, error) = match EnvFilter::try_new(&directives) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.format() {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    if let Some(error) = error {
        tracing::warn!("--log-level={directives}: {error}; using info");
    }
    for warning in flags.warnings() {
        tracing::warn!("{warning}");
    }
}
