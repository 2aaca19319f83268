//! Logs: one line an event, to standard error.

use crate::args::LogFormat;
use anyhow::Context;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The last of two filters for one module counts: nobody turns the client's back on by accident.
fn filtered(filter: &str) -> anyhow::Result<EnvFilter> {
    // Refused requests are told where it is known what they were for. And of an answer that can't be parsed the client logs the whole
    // body: a list of every object in the cluster.
    EnvFilter::try_new(format!("kube_client::client::builder=off,{filter},kube_client::client=off")).with_context(|| {
        format!("--log {filter:?} is not a valid filter: set a level, or levels by module, as info,bluegreen_operator=debug")
    })
}

pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = filtered(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io, sync::Arc, sync::Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bodies_of_answers_are_never_logged() {
        for filter in ["info", "trace", "debug,kube_client=trace", "kube_client::client=warn"] {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().with_env_filter(filtered(filter).unwrap()).with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(log, || {
                tracing::warn!(target: "kube_client::client", "a whole list");
                tracing::error!(target: "bluegreen_operator::cache", "a word of ours");
            });
            let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(!lines.contains("a whole list"), "{filter}: {lines}");
            assert!(filter.contains("kube_client::client=") || lines.contains("a word of ours"), "{filter}: {lines}");
        }
        assert!(filtered("a=b=c").is_err());
    }
}
