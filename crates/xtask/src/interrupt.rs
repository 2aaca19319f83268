//! Ctrl-C and SIGTERM: what runs is ended, and whoever brought something up takes it down again on the way out.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, set_child_subreaper};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on a signal doesn't end this process: it ends the programs that it runs, and [`check`] then fails.
pub(crate) fn watch() -> Result<()> {
    // What a test left running becomes our child when the test ends, and can be found.
    set_child_subreaper(Some(getpid())).context("cannot become the parent of orphaned processes")?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot wait for Ctrl-C")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                eprintln!("Interrupted twice: what was brought up is left as it is; `cargo xtask cluster status` shows it.");
                std::process::exit(130);
            }
            eprintln!("Interrupted: ending what runs and taking down what was brought up (again: leave it all as it is).");
            end_children();
        }
    });
    Ok(())
}

pub(crate) fn check() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::SeqCst), "interrupted");
    Ok(())
}

/// Sleeps, but not through an interruption.
pub(crate) fn sleep(duration: Duration) -> Result<()> {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        check()?;
        std::thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
    }
    check()
}

/// Ends the programs that we run, and those that they left behind. Those of a cluster have process groups of their
/// own and are not meant.
pub(crate) fn end_children() {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let children = children();
        if children.is_empty() {
            return;
        }
        let signal = if Instant::now() < until { Signal::TERM } else { Signal::KILL };
        for child in children {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(child, signal);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn children() -> Vec<Pid> {
    let (us, group) = (getpid().as_raw_nonzero().get(), getpgrp().as_raw_nonzero().get());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The program's name stands in brackets and may hold anything; then come state, parent and group.
        let fields: Vec<_> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').take(3).collect()).unwrap_or_default();
        let number = |at: usize| fields.get(at).and_then(|field: &&str| field.parse::<i32>().ok());
        fields.first().is_some_and(|state| *state != "Z") && number(1) == Some(us) && number(2) == Some(group)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Starts a program that ends with whoever started it, and is told nothing on its input.
pub(crate) fn spawn(command: &mut Command) -> Result<Ended> {
    let child = command.stdin(Stdio::null()).spawn();
    Ok(Ended(child.with_context(|| format!("cannot start {}", command.get_program().display()))?))
}

/// Ends when it is dropped.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only for one that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
