//! `bluegreen-load`: constant load on one address, every request counted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bluegreen_load::{Plan, Summary, run};
use clap::Parser;
use http::Uri;
use tokio::signal::unix::{SignalKind, signal};

/// Send requests at a constant rate, and count every one that is not answered with 2xx.
///
/// No request is ever repeated. It goes on until --duration has passed, or Ctrl-C, or SIGTERM; then it prints a summary
/// as JSON. Exit code: 0 when all requests were answered with 2xx, 1 when one was not, 2 when nothing could be done.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// Plain HTTP: http://10.96.0.80/
    target: Uri,
    /// Requests a second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How long: 90s, 5m, 500ms; without it, until Ctrl-C or SIGTERM.
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Open a connection for each request, as a new user does. Otherwise a connection is used until the server closes it.
    #[arg(long, overrides_with = "keep_alive")]
    no_keep_alive: bool,
    /// Use connections again (the default).
    #[arg(long)]
    keep_alive: bool,
    /// Connections, all kept open at once (unless --no-keep-alive). A request that finds all in use waits, and is
    /// counted from when it was due.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long one request may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Write each request and its outcome to this file, one JSON object a line.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Tell every second how it goes, on stderr.
    #[arg(long)]
    progress: bool,
}

fn duration(text: &str) -> Result<Duration> {
    let span: jiff::SignedDuration = text.parse().with_context(|| format!("{text:?} is no duration; write 90s or 5m"))?;
    Ok(Duration::try_from(span)?)
}

fn main() -> ExitCode {
    match load(Args::parse()) {
        Ok(summary) if summary.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn load(args: Args) -> Result<Summary> {
    // One thread is enough for thousands of requests a second, and leaves the machine to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let mut output = match &args.output {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)),
        None => None,
    };
    let plan = Plan {
        target: args.target,
        rate: args.rate,
        duration: args.duration,
        keep_alive: !args.no_keep_alive,
        connections: args.connections,
        timeout: args.timeout,
    };
    let mut lost = None;
    let mut told = Instant::now();
    let summary = runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
        let mut terminated = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let stop = async move {
            tokio::select! {
                _ = interrupted.recv() => (),
                _ = terminated.recv() => (),
            }
        };
        run(plan, stop, |answer, so_far| {
            if let Some(output) = &mut output {
                let written = serde_json::to_writer(&mut *output, answer).map_err(Into::into).and_then(|()| output.write_all(b"\n"));
                lost = lost.take().or(written.err());
            }
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                // A reader of the file is never more than a second behind.
                if let Some(output) = &mut output {
                    lost = lost.take().or(output.flush().err());
                }
                if args.progress {
                    eprintln!("{}", progress(so_far));
                }
            }
        })
        .await
    })?;
    if let Some(mut output) = output {
        lost = lost.or(output.flush().err());
    }
    println!("{}", serde_json::to_string_pretty(&summary)?);
    match lost {
        Some(error) => Err(error).context("the file of answers is not complete"),
        None => Ok(summary),
    }
}

fn progress(so_far: &Summary) -> String {
    let versions: Vec<_> = so_far.versions.iter().map(|(name, version)| format!("{name}: {}", version.answers)).collect();
    let failures: Vec<_> = so_far.failures.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    let failures = if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) };
    format!("{} sent, {} failed{failures}; answered by {}", so_far.sent, so_far.failed, versions.join(", "))
}
