//! One operator's line to the API server, with all that can go wrong on it.

use crate::{
    dice::Dice,
    resource::{DEPLOYMENT, POD},
    server::{ApiServer, Body, Disturbance, Error, Request},
    store::refusal,
};
use bluegreen_witness::KnownUpTo;
use http::Response;
use http_body_util::BodyExt;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// After so much silence the operator's connections break.
const READ_TIMEOUT: Duration = Duration::from_secs(65);

/// How often what goes wrong: so many times in a thousand requests, or events of a watch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// 409 to a write that would be welcome.
    pub conflict: u64,
    /// 429
    pub busy: u64,
    /// 500
    pub broken: u64,
    /// It is carried out, and no answer comes.
    pub unanswered: u64,
    /// It is lost on its way.
    pub lost: u64,
    /// It is carried out long after the client has given up.
    pub late: u64,
    /// A watch breaks.
    pub cut: u64,
    /// Events are long under way.
    pub lag: u64,
    /// The operator dies of a write, before it hears of it.
    pub death: u64,
    /// Each event of these kinds is told so late.
    pub slow: (&'static [&'static str], Duration),
    /// Requests for this kind are refused with this code.
    pub refused: Option<(&'static str, u16)>,
}

impl Faults {
    /// Everything goes wrong now and then.
    pub fn some() -> Self {
        Self {
            conflict: 30,
            busy: 20,
            broken: 20,
            unanswered: 25,
            lost: 15,
            late: 12,
            cut: 20,
            lag: 120,
            death: 8,
            slow: (&[], Duration::ZERO),
            refused: None,
        }
    }
}

/// A request that was made, when, and what came of it.
#[derive(Clone, Debug)]
pub struct Made {
    pub at: Instant,
    pub words: String,
    /// Of a watch or a lease: these go on for ever.
    pub goes_on: bool,
    pub write: bool,
}

/// Clones are the same line.
#[derive(Clone)]
pub struct Line {
    server: ApiServer,
    state: Arc<Mutex<State>>,
    died: Arc<Notify>,
}

struct State {
    dice: Dice,
    faults: Faults,
    dead: bool,
    writes: u64,
    dies_after: Option<u64>,
    made: Vec<Made>,
    /// By lists and watches.
    known: KnownUpTo,
}

enum Fate {
    Well,
    Refused(u16),
    Unanswered,
    Lost,
    Late(Duration),
}

impl Line {
    pub fn new(server: &ApiServer, dice: Dice) -> Self {
        let state =
            State { dice, faults: Faults::default(), dead: false, writes: 0, dies_after: None, made: vec![], known: KnownUpTo::default() };
        Self { server: server.clone(), state: Arc::new(Mutex::new(state)), died: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// After so many writes, leases not counted, whoever is at the end of the line is dead: the last one is carried out.
    pub fn die_after(&self, writes: u64) {
        self.state().dies_after = Some(writes);
    }

    /// Nothing goes through any more.
    pub fn kill(&self) {
        self.state().dead = true;
    }

    /// The same, and whoever waits for it hears of it.
    pub fn die_now(&self) {
        self.kill();
        self.died.notify_one();
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// When the latest request was made that doesn't go on for ever.
    pub fn latest(&self) -> Option<Instant> {
        self.state().made.iter().rev().find(|made| !made.goes_on).map(|made| made.at)
    }

    pub fn made(&self) -> Vec<Made> {
        self.state().made.clone()
    }

    /// Writes that were carried out, leases not counted.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    async fn alive(&self) {
        if self.is_dead() {
            futures::future::pending::<()>().await;
        }
    }

    fn fate(&self, request: &Request) -> Fate {
        let State { dice, faults, .. } = &*self.state();
        if let Some((_, code)) = faults.refused.filter(|(plural, _)| *plural == request.resource.plural) {
            return Fate::Refused(code);
        }
        // A lease that is hard to renew is a story of its own, told by the others.
        let rate = |rate: u64| if request.resource.is_lease() { rate / 4 } else { rate };
        if request.is_write() && request.is_guarded() && dice.per_mille(rate(faults.conflict)) {
            return Fate::Refused(409);
        }
        for (code, faults) in [(429, faults.busy), (500, faults.broken)] {
            if dice.per_mille(rate(faults)) {
                return Fate::Refused(code);
            }
        }
        if dice.per_mille(rate(faults.lost)) {
            return Fate::Lost;
        }
        if dice.per_mille(rate(faults.unanswered)) {
            return Fate::Unanswered;
        }
        if request.is_write() && dice.per_mille(rate(faults.late)) {
            return Fate::Late(dice.millis(1_000, 90_000));
        }
        Fate::Well
    }

    /// Counts a write that was carried out; the one who made it may die of it.
    fn counted(&self, request: &Request, code: u16) {
        if !request.is_write() || request.resource.is_lease() || code >= 300 {
            return;
        }
        let mut state = self.state();
        state.writes += 1;
        if state.dies_after == Some(state.writes) || state.dice.per_mille(state.faults.death) {
            state.dead = true;
            drop(state);
            self.died.notify_one();
        }
    }

    async fn ask(self, request: http::Request<kube::client::Body>) -> Result<Response<Body>, Error> {
        self.alive().await;
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let Some(request) = Request::read(&parts, &body) else {
            return Ok(refusal(404, "the server could not find the requested resource").respond());
        };
        let (there, back, known) = {
            let mut state = self.state();
            let goes_on = request.is_watch() || request.resource.is_lease();
            state.made.push(Made { at: Instant::now(), words: request.words(), goes_on, write: request.is_write() });
            (state.dice.millis(1, 8), state.dice.millis(1, 8), state.known)
        };
        let fate = self.fate(&request);
        sleep(there).await;
        self.alive().await;
        match fate {
            Fate::Lost => return Err("connection refused".into()),
            Fate::Refused(code) => {
                sleep(back).await;
                return Ok(refusal(code, format!("made up: code {code}")).respond());
            }
            Fate::Late(late) => {
                let line = self.clone();
                tokio::spawn(async move {
                    sleep(late).await;
                    let _ = line.server.knowing(known, |server| server.carry_out(&request));
                });
                sleep(READ_TIMEOUT).await;
                return Err("timed out".into());
            }
            Fate::Well | Fate::Unanswered => {}
        }
        let disturbance: Arc<dyn Disturbance> = Arc::new(self.clone());
        let lists = request.is_list().then_some(request.resource.plural);
        let listed = self.server.look(|store| store.version);
        let answer = self.server.knowing(known, |server| server.answer(&request, disturbance));
        self.counted(&request, answer.status().as_u16());
        if matches!(fate, Fate::Unanswered) {
            sleep(READ_TIMEOUT).await;
            return Err("timed out".into());
        }
        sleep(back).await;
        self.alive().await;
        if let Some(plural) = lists {
            self.tells(plural, listed);
        }
        Ok(answer)
    }
}

impl Disturbance for Line {
    fn lag(&self, plural: &str) -> Duration {
        let State { dice, faults, .. } = &*self.state();
        let (slow, time) = faults.slow;
        if slow.contains(&plural) {
            return time;
        }
        if dice.per_mille(faults.lag) { dice.millis(50, 20_000) } else { dice.millis(1, 30) }
    }

    fn coalesces(&self) -> bool {
        let State { dice, faults, .. } = &*self.state();
        faults.lag > 0 && dice.one_in(2)
    }

    fn breaks(&self) -> bool {
        let State { dice, faults, .. } = &*self.state();
        dice.per_mille(faults.cut)
    }

    fn is_dead(&self) -> bool {
        Line::is_dead(self)
    }

    fn tells(&self, plural: &str, version: u64) {
        let known = &mut self.state().known;
        if plural == POD.plural {
            known.pods = known.pods.max(version);
        } else if plural == DEPLOYMENT.plural {
            known.deployments = known.deployments.max(version);
        }
    }
}

impl tower::Service<http::Request<kube::client::Body>> for Line {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
