//! Cold start and change of leader: the time until the operator has recorded changes that no other operator could record.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::{OPERATOR, Signal};

use super::load;
use super::run::Run;
use super::table::Figure;
use crate::interrupt;

/// Rollouts that are changed each time, spread over all.
const CHANGED: usize = 20;
/// Seconds, as the operator has it by default.
const LEASE: &str = "15";

/// Times from a beginning.
#[derive(Debug, Clone, Copy)]
struct Seen {
    leased: Duration,
    first: Duration,
    all: Duration,
}

pub(super) fn measure(run: &mut Run<'_>, times: usize) -> Result<()> {
    let changed = load::sample(CHANGED, run.rollouts);
    let count = changed.len();
    println!(
        "\nCold start with {} rollouts: the operator is stopped, {count} rollouts get a new image, and it is started again.\n\
         Times are from the start of the process until a watch shows the change as recorded in `status`.",
        run.rollouts
    );
    let mut starts = Vec::new();
    for _ in 0..times {
        let seen = cold_start(run, &changed)?;
        println!(
            "  lease taken after {}, first change recorded after {}, all {count} after {}",
            ms(seen.leased),
            ms(seen.first),
            ms(seen.all)
        );
        starts.push(seen);
    }

    println!(
        "\nChange of leader: a second operator stands by with full caches; the leader gets a signal, and {count} rollouts get a new image\n\
         as soon as it has ended. The lease is good for {LEASE} s, as it is by default."
    );
    run.end(OPERATOR, Signal::TERM)?;
    let mut pair = Pair::begin(run)?;
    let mut terms = Vec::new();
    for _ in 0..times {
        let seen = pair.change(run, &changed, Signal::TERM)?;
        println!(
            "  SIGTERM: the leader gives the lease back; taken after {}, first change recorded after {}, all {count} after {}",
            ms(seen.leased),
            ms(seen.first),
            ms(seen.all)
        );
        terms.push(seen);
    }
    let mut kills = Vec::new();
    for _ in 0..times {
        let seen = pair.change(run, &changed, Signal::KILL)?;
        println!(
            "  SIGKILL: the lease has to run out; taken after {}, and from then on first change recorded after {}, all {count} after {}",
            ms(seen.leased),
            ms(seen.first.saturating_sub(seen.leased)),
            ms(seen.all.saturating_sub(seen.leased))
        );
        kills.push(seen);
    }

    let all = format!("all {count}");
    let figure = |what: String, from: &[Seen], value: fn(&Seen) -> Duration| Figure::new(&what, median(from, value), " s");
    let within = |figure: Figure| if run.rollouts >= 1000 { figure.within(2.0) } else { figure };
    run.figures.extend([
        within(figure("cold start: process started → first change recorded".into(), &starts, |seen| seen.first)),
        within(figure(format!("cold start: process started → {all} recorded"), &starts, |seen| seen.all)),
        figure("leader ends by SIGTERM → lease taken".into(), &terms, |seen| seen.leased),
        within(figure("leader ends by SIGTERM → first change recorded".into(), &terms, |seen| seen.first)),
        within(figure(format!("leader ends by SIGTERM → {all} recorded"), &terms, |seen| seen.all)),
        figure("leader ends by SIGKILL → lease taken".into(), &kills, |seen| seen.leased),
        within(figure("after SIGKILL: lease taken → first change recorded".into(), &kills, |seen| {
            seen.first.saturating_sub(seen.leased)
        })),
        within(figure(format!("after SIGKILL: lease taken → {all} recorded"), &kills, |seen| seen.all.saturating_sub(seen.leased))),
    ]);
    Ok(())
}

fn cold_start(run: &mut Run<'_>, changed: &[usize]) -> Result<Seen> {
    run.end(OPERATOR, Signal::TERM)?;
    let change = Change::expected(run, changed)?;
    load::patch_all(&run.cluster, changed, &change.image)?;
    let from = Instant::now();
    run.cluster.start_process(OPERATOR)?;
    change.seen(run, changed, from)
}

/// A change of some rollouts that is still to be made.
struct Change {
    image: String,
    generations: Vec<i64>,
    /// Holders of the lease so far.
    holders: usize,
}

impl Change {
    fn expected(run: &mut Run<'_>, changed: &[usize]) -> Result<Self> {
        run.observer.catch_up()?;
        let generation = |number: &usize| {
            let watched = run.observer.seen.rollouts.get(&load::name(*number));
            watched.and_then(|watched| watched.recorded).map(|(generation, _)| generation)
        };
        let generations = changed.iter().map(generation).collect::<Option<_>>().context("a rollout was never recorded")?;
        Ok(Self { generations, holders: run.observer.seen.holders.len(), image: run.next_image() })
    }

    /// Waits until all of them are recorded, and then until they are at rest.
    fn seen(self, run: &mut Run<'_>, changed: &[usize], from: Instant) -> Result<Seen> {
        let names: Vec<_> = changed.iter().copied().map(load::name).collect();
        run.observer.until("the changed rollouts are recorded", |seen| {
            let recorded = |(name, before): (&String, &i64)| {
                let recorded = seen.rollouts.get(name).and_then(|watched| watched.recorded);
                recorded.is_some_and(|(generation, _)| generation > *before)
            };
            names.iter().zip(&self.generations).all(recorded)
        })?;
        let (seen, holders) = (&run.observer.seen, self.holders);
        let taken = seen.holders.iter().skip(holders).find(|(holder, _)| !holder.is_empty());
        let taken = taken.map(|(_, at)| *at).context("changes were recorded, but no operator took the lease")?;
        let at: Vec<_> = names.iter().filter_map(|name| seen.rollouts.get(name)?.recorded).map(|(_, at)| at).collect();
        let (first, last) = (at.iter().min().copied(), at.iter().max().copied());
        let after = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(from)).context("no change was recorded");
        let seen = Seen { leased: taken.saturating_duration_since(from), first: after(first)?, all: after(last)? };
        run.until_settled(changed, &self.image)?;
        Ok(seen)
    }
}

/// Two operators, of which the first leads.
struct Pair {
    leading: Member,
    standby: Member,
}

struct Member {
    name: &'static str,
    port: u16,
}

impl Pair {
    fn begin(run: &mut Run<'_>) -> Result<Self> {
        let (leading, standby) = (Member::start(run, "operator-one")?, Member::start(run, "operator-two")?);
        Ok(Self { leading, standby })
    }

    /// Ends the leader; then it is started again, and stands by.
    fn change(&mut self, run: &mut Run<'_>, changed: &[usize], signal: Signal) -> Result<Seen> {
        let change = Change::expected(run, changed)?;
        let from = Instant::now();
        run.end(self.leading.name, signal)?;
        load::patch_all(&run.cluster, changed, &change.image)?;
        let seen = change.seen(run, changed, from)?;
        run.cluster.start_process(self.leading.name)?;
        self.leading.until_ready()?;
        std::mem::swap(&mut self.leading, &mut self.standby);
        Ok(seen)
    }
}

impl Member {
    fn start(run: &mut Run<'_>, name: &'static str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on the loopback device")?;
        let port = listener.local_addr().context("a listener without an address")?.port();
        drop(listener);
        run.start(name, &[&format!("--listen=127.0.0.1:{port}"), &format!("--lease-duration={LEASE}")])?;
        let member = Self { name, port };
        member.until_ready()?;
        // The first to be ready is the first to ask for the lease; the second waits for it.
        run.observer.until("an operator holds the lease", |seen| seen.holders.last().is_some_and(|(holder, _)| !holder.is_empty()))?;
        Ok(member)
    }

    /// Waits for full caches.
    fn until_ready(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(120);
        while !is_ready(self.port).unwrap_or(false) {
            ensure!(Instant::now() < until, "{} isn't ready 120 s after its start; its log is with those of the cluster", self.name);
            interrupt::sleep(Duration::from_millis(50))?;
        }
        Ok(())
    }
}

fn is_ready(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}

/// The one in the middle, in seconds; the lower of two.
fn median(seen: &[Seen], value: fn(&Seen) -> Duration) -> f64 {
    let mut values: Vec<_> = seen.iter().map(value).collect();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).map_or(0.0, Duration::as_secs_f64)
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let seen = [9, 1, 3].map(|seconds| Seen { leased: Duration::ZERO, first: Duration::from_secs(seconds), all: Duration::ZERO });
        assert!((median(&seen, |seen| seen.first) - 3.0).abs() < 1e-9);
        assert!((median(&seen[..2], |seen| seen.first) - 1.0).abs() < 1e-9);
        assert!(median(&[], |seen| seen.first).abs() < 1e-9);
    }
}
