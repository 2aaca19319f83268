//! Starting and ending the programs of a cluster.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::patience;
use crate::state::{Process, Running};

/// The network that a program runs in.
pub(crate) fn command(namespace: Option<&str>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    match namespace {
        // Not `ip netns exec`: that mounts another /sys, in which the kubelet finds no cgroups.
        Some(namespace) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a program that outlives us; what it says goes to its log.
pub(crate) fn start(process: &mut Process, namespace: Option<&str>) -> Result<()> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&process.log)
        .with_context(|| format!("cannot open the log {}", process.log.display()))?;
    let child = command(namespace, &process.program)
        .args(&process.args)
        .envs(&process.env)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log between output and errors")?)
        .stderr(log)
        // Ctrl-C at a terminal ends the command that was typed, not the cluster.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {} ({})", process.name, process.program.display()))?;
    let pid = i32::try_from(child.id()).context("a process id that is no process id")?;
    // A program that has ended already has no start any more, and is never taken for alive.
    process.running = Some(Running::of(pid).unwrap_or(Running { pid, started: 0 }));
    Ok(())
}

impl Running {
    /// The process that has this pid now, if any.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        start_time(pid).map(|started| Self { pid, started })
    }
}

/// Whether a program that was started is still that same process, and alive.
pub(crate) fn alive(running: Running) -> bool {
    start_time(running.pid) == Some(running.started)
}

/// When a process started, or none if it is gone, or dead and waited for by its parent.
fn start_time(pid: i32) -> Option<u64> {
    started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn started(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets and may hold anything; the fields after it are plain.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let (state, threads) = (fields.first()?, fields.get(17)?);
    // Killed, its first thread may be dead while others still hold its ports.
    if matches!(*state, "Z" | "X") && matches!(*threads, "0" | "1") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Sends a signal, if the process is still the one we started.
pub(crate) fn signal(running: Running, signal: Signal) -> Result<()> {
    let Some(pid) = Pid::from_raw(running.pid).filter(|_| alive(running)) else {
        return Ok(());
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send a signal to process {}", running.pid)),
    }
}

/// Ends a process at once and waits until it is gone.
///
/// A graceful end of kube-apiserver takes a minute, in which it holds its port.
pub(crate) fn kill(running: Running) -> Result<()> {
    signal(running, Signal::KILL)?;
    match patience::until(|| (!alive(running)).then_some(())) {
        Ok(()) => Ok(()),
        Err(waited) => bail!("process {} is still there {} s after SIGKILL", running.pid, waited.as_secs()),
    }
}

/// The end of a log, for an error message.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_that_is_another_process_now_is_not_alive() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let started = start_time(pid).unwrap();
        assert!(alive(Running { pid, started }));
        assert!(!alive(Running { pid, started: started + 1 }));
    }

    #[test]
    fn a_killed_program_is_gone_with_its_last_thread() {
        let stat = |state: &str, threads: u8| format!("7 (a) b) {state} 1 7 7 0 -1 4 0 0 0 0 9 5 0 0 20 0 {threads} 0 4711 0 0");
        assert_eq!(started(&stat("S", 12)), Some(4711));
        assert_eq!(started(&stat("Z", 12)), Some(4711));
        assert_eq!(started(&stat("Z", 1)), None);
    }
}
