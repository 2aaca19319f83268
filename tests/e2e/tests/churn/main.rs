//! Fifty rollouts, changed and ordered about at random, while the operator is killed, frozen and cut off from an API server
//! that loses, doubles and delays what is said to it: no promise is broken, and in the end each rollout is where it belongs.
//!
//! `BLUEGREEN_CHURN_MINUTES` says for how long, `BLUEGREEN_CHURN_ROLLOUTS` how many, `BLUEGREEN_SEED` repeats the dice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fleet;
mod harm;
mod memory;
mod story;

use bluegreen_api::Phase;
use bluegreen_cluster::audit::Request;
use bluegreen_e2e::{
    OwnGround, Rollout, Space,
    dice::Dice,
    manifest::named,
    merged,
    patience::{self, long_enough, patience, stretched},
    proxy::{Proxy, Weather},
    shop,
};
use bluegreen_witness::{Event, Kind};
use fleet::Fleet;
use futures::future::join_all;
use memory::Memory;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
    time::Duration,
};
use story::Story;
use tokio::time::{Instant, sleep, timeout_at};

/// How long the last stories may take once all faults have ended: fifty at once, on a machine that others keep busy as well.
fn most_patience() -> Duration {
    patience() * 2
}

fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What has become of the attempts, as the witness saw it.
#[derive(Default)]
struct Ends {
    looked: usize,
    phases: BTreeMap<String, String>,
    counts: BTreeMap<String, u64>,
}

impl Ends {
    fn look(&mut self, space: &Space) {
        let news = space.record.since(self.looked);
        self.looked += news.len();
        for event in news.iter().filter(|event| event.kind == Kind::Rollout) {
            let phase = event.object["status"]["phase"].as_str().unwrap_or_default();
            let former = self.phases.insert(event.name.clone(), phase.to_owned()).unwrap_or_default();
            if former != phase && ended(phase) {
                *self.counts.entry(phase.to_owned()).or_default() += 1;
            }
        }
    }

    fn resting(&self) -> usize {
        self.phases.values().filter(|phase| ended(phase)).count()
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// An attempt has come to its end.
fn ended(phase: &str) -> bool {
    ["Healthy", "Aborted", "RolledBack"].contains(&phase)
}

/// The first version of a rollout is live.
fn was_healthy(rollout: &Value) -> bool {
    rollout["status"]["history"].as_array().is_some_and(|history| history.iter().any(|attempt| !attempt["finished"].is_null()))
}

/// The weather lasts for so many minutes.
async fn churn(name: &str, weather: Weather, minutes: f64) {
    let seed: u64 = given("BLUEGREEN_SEED").unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap());
    let count: usize = given("BLUEGREEN_CHURN_ROLLOUTS").unwrap_or(50);
    let time = Duration::from_secs_f64(minutes * 60.0);
    eprintln!("{count} rollouts, {} s of faults; BLUEGREEN_SEED={seed} repeats the dice", time.as_secs());
    let dice = Dice::new(seed);
    let own = Arc::new(OwnGround::up(name));
    let space = Space::on(own.ground, "churn").await;
    let proxy = Proxy::before(own.ground, seed, weather).await;
    // The usual lease outlasts an API server that starts again: its holder lives on. The short one is lost with it.
    let lease = Duration::from_secs(if weather == Weather::FoulForLeases { 6 } else { 15 });
    // What the proxy held back, one that is frozen learns when it has woken.
    space.record.allow_lag(Proxy::LAG + stretched(lease) * 2);
    let fleet = Fleet::start(&space, &proxy, lease);
    let evidence = Evidence { space: &space, fleet: &fleet };

    let mut rollouts = Vec::new();
    for number in 0..count {
        rollouts.push(space.rollout(&named(merged(shop(), &story::quick()), &format!("shop-{number}"))).await);
    }
    let mut stories: Vec<_> = rollouts.iter().map(|rollout| Story::of(&space, rollout, &dice)).collect();
    let began = Instant::now();
    let clear = Cell::new(false);
    let memory = Memory::default();
    let ends = RefCell::new(Ends::default());
    let plot = async {
        join_all(stories.iter_mut().map(|story| story.go_on(began + time))).await;
        proxy.turn(Weather::Clear);
        clear.set(true);
        eprintln!("[{:>4} s] the faults have ended", began.elapsed().as_secs());
        join_all(stories.iter_mut().map(Story::leave_at_rest)).await;
        let ends = settle(&mut stories).await;
        eprintln!("[{:>4} s] what was asked for last has come to its end: {ends:?}", began.elapsed().as_secs());
        // Nothing of all that was keeps a good version from coming.
        join_all(stories.iter_mut().map(Story::ask_for_a_good_one)).await;
        let ends = settle(&mut stories).await;
        assert_eq!(ends, BTreeMap::from([("Healthy".to_owned(), count)]), "good versions, and no faults");
        patience::until("an operator has lived long enough to judge its memory", async || memory.can_be_judged().then_some(())).await;
    };
    let progress = async {
        let (mut rounds, mut begun) = (0_u32, None);
        loop {
            sleep(Duration::from_secs(1)).await;
            // Until then the operator learns of rollouts and their objects, and that takes memory.
            let all_there =
                || rollouts.iter().all(|rollout| space.seen(Kind::Rollout, &rollout.name).is_some_and(|seen| was_healthy(&seen)));
            begun = begun.or_else(|| all_there().then(Instant::now));
            if let Some(begun) = begun {
                memory.sample(&fleet, begun);
            }
            rounds += 1;
            if rounds.is_multiple_of(10) {
                let mut ends = ends.borrow_mut();
                ends.look(&space);
                assert_eq!(space.record.judge_and_forget(), [""; 0], "promises were broken");
                let (tally, resting, total) = (proxy.tally(), ends.resting(), ends.total());
                let seconds = began.elapsed().as_secs();
                eprintln!(
                    "[{seconds:>4} s] {resting} of {count} at rest, {total} ends; {}; {} requests: {}",
                    fleet.words(),
                    tally.requests(),
                    tally.words()
                );
            }
        }
    };
    tokio::select! {
        () = plot => {}
        () = progress => {}
        () = fleet.keep() => {}
        () = harm::deal_out(&own, &fleet, &dice, began, time) => {}
    }
    let mut ends = ends.into_inner();
    ends.look(&space);
    eprintln!("{}\n{} ends: {:?}; {} events", proxy.tally(), ends.total(), ends.counts, space.record.len());
    let (versions, blind) = space.record.blindness();
    eprintln!("{versions} versions of all things, of which {blind} came while the API server had forgotten what the witness had not seen");
    eprintln!("{}; {}", fleet.words(), memory.words());
    let (seconds, requests, events) = (time.as_secs(), proxy.tally().requests(), space.record.len());
    eprintln!(
        "covered: {count} rollouts, {seconds} s of faults, {} ends, {requests} requests, {events} events; {}",
        ends.total(),
        fleet.words()
    );
    assert_at_rest(&space, &rollouts, (time / 30).max(Duration::from_secs(6))).await;
    assert_eq!(fleet.errors(), [""; 0], "faults of others are no errors of the operator");
    assert!(proxy.tally().faults.len() > 10, "hardly any fault was dealt out:\n{}", proxy.tally());
    memory.assert_flat();
    space.record.catch_up().await;
    assert_eq!(space.record.broken(), [""; 0], "promises were broken");
    drop(evidence);
    drop(fleet);
    space.end().await;
}

/// If the test fails, all that the witness saw and the operators logged is kept, for who wants to know why.
struct Evidence<'t> {
    space: &'t Space,
    fleet: &'t Fleet<'t>,
}

impl Drop for Evidence<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&self.space.name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, life) in self.fleet.lives().enumerate() {
            std::fs::write(directory.join(format!("operator-{number}.log")), life.operator.log()).unwrap();
        }
        let event = |event: &Event| json!({"seen": event.seen.to_string(), "version": event.version, "kind": event.kind.as_str(), "deleted": event.deleted, "object": *event.object});
        let lines: Vec<_> = self.space.record.since(0).iter().map(|it| event(it).to_string()).collect();
        std::fs::write(directory.join("events.jsonl"), lines.join("\n")).unwrap();
        eprintln!("what the witness saw and the operators logged is in {}", directory.display());
    }
}

/// Waits until what was asked for last has come to its end everywhere at the same time, and counts where that is. An order that
/// names what serves takes effect once the attempt beside it has ended: who had settled then goes on.
async fn settle(stories: &mut [Story<'_>]) -> BTreeMap<String, usize> {
    let until = Instant::now() + most_patience();
    loop {
        join_all(stories.iter_mut().map(|story| timeout_at(until, story.end()))).await;
        let ends: Result<Vec<_>, _> = stories.iter().map(Story::settled).collect();
        match ends {
            Ok(ends) => {
                let mut counts = BTreeMap::new();
                ends.into_iter().for_each(|end| *counts.entry(end).or_default() += 1);
                return counts;
            }
            Err(why) => assert!(Instant::now() < until, "{why}"),
        }
    }
}

/// Each Service leads where the status says, the other side is gone, and the operator has nothing more to write for so long.
async fn assert_at_rest(space: &Space, rollouts: &[Rollout<'_>], time: Duration) {
    let mut writes = writes(space);
    let until = Instant::now() + most_patience();
    loop {
        long_enough().await;
        let last = writes();
        if last.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "all is done, and still something is written: {last:#?}");
    }
    for rollout in rollouts {
        let seen = rollout.now();
        assert!(seen.is(Phase::Healthy), "{} is {:?}", rollout.name, seen.phase());
        let other = rollout.deployment(seen.active().color.other());
        assert!(other.is_null() || other["spec"]["replicas"] == 0, "{}: {other:#}", rollout.name);
        assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(seen.active().revision));
    }
    sleep(time).await;
    assert_eq!(writes(), [], "at rest nothing is written");
}

/// What the operator writes from now on.
fn writes(space: &Space) -> impl FnMut() -> Vec<Request> + use<> {
    let mut requests = space.requests_at_rest();
    move || requests().into_iter().filter(|request| request.verb != "get").collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rollouts_end_where_they_belong_whatever_happens() {
    churn("churn", Weather::Foul, given("BLUEGREEN_CHURN_MINUTES").unwrap_or(2.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rollouts_end_where_they_belong_through_lost_leases() {
    churn("churn-leases", Weather::FoulForLeases, given("BLUEGREEN_CHURN_MINUTES").unwrap_or(2.0) / 2.0).await;
}
