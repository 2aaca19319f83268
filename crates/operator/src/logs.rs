//! Logs: one line an event, to standard error.

use crate::args::LogFormat;
use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // Refused requests are told where it is known what they were for.
    let filter = EnvFilter::try_new(format!("kube_client::client::builder=off,{filter}")).with_context(|| {
        format!("--log {filter:?} is not a valid filter: set a level, or levels by module, as info,bluegreen_operator=debug")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
