//! The rules of promises 1, 2, 4 and 12 that hold at each write and each record, wherever it is seen: each stands here once. The judge of
//! events and the engine's model checker ask the same rules, and answer what a rule must know by [`Facts`], each from what it has: objects
//! that watches have shown, or the cluster and what its operator saw of it.
//!
//! Promise 3 has no rule here: the model knows what was measured, an outsider the status alone, and each has caught errors of the other.

use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use jiff::SignedDuration;
use std::fmt;

/// The revision that an active Service selects while no first revision has passed its gates: it reaches nobody.
pub(crate) const NOTHING: &str = "none";

/// A promise that was broken: its number in the design, and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub promise: u8,
    pub how: String,
}

/// Says of a promise that it is broken, unless it holds.
///
/// # Errors
///
/// It doesn't hold.
pub fn holds(promise: u8, holds: bool, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { promise, how: how() }) }
}

/// A revision in a color: where a Service leads, what a Deployment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim<'a> {
    pub color: Color,
    pub revision: &'a str,
}

impl fmt::Display for Aim<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.color, self.revision)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    Preview,
}

/// A side as a status records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side<'a> {
    pub role: Role,
    pub aim: Aim<'a>,
    pub replicas: i64,
    pub ready_when_left: Option<i64>,
}

/// What a status has decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decided<'a> {
    pub phase: Option<Phase>,
    pub active: Option<Side<'a>>,
    pub standby: Option<Side<'a>>,
    pub preview: Option<Side<'a>>,
    /// The switch to the candidate is decided while its pods start.
    pub armed: bool,
    /// A person has ordered the way back.
    pub ordered: bool,
    /// The former revision is deployed again before users go back to it.
    pub slow: bool,
}

impl<'a> From<&'a BlueGreenRolloutStatus> for Decided<'a> {
    fn from(status: &'a BlueGreenRolloutStatus) -> Self {
        let side = |role: Role, side: &'a Option<bluegreen_api::Side>| {
            side.as_ref().map(|side| Side {
                role,
                aim: Aim { color: side.color, revision: &side.revision },
                replicas: side.replicas.into(),
                ready_when_left: side.ready_when_left.map(i64::from),
            })
        };
        Self {
            phase: status.phase,
            active: side(Role::Active, &status.active),
            standby: side(Role::Standby, &status.standby),
            preview: side(Role::Preview, &status.preview),
            armed: status.armed && status.phase == Some(Phase::DeployingPreview),
            ordered: status.ending.as_ref().is_some_and(|ending| ending.ordered),
            slow: status.ending.as_ref().is_some_and(|ending| ending.slow),
        }
    }
}

impl<'a> Decided<'a> {
    /// The candidate that the active Service may be switched to.
    pub fn switches_to(&self) -> Option<Side<'a>> {
        self.preview.filter(|_| self.armed || self.phase == Some(Phase::Promoting))
    }

    /// The side for which this status lets the active Service lead there.
    fn leads_to(&self, aim: Aim<'_>) -> Option<Side<'a>> {
        let back = self.standby.filter(|_| self.phase == Some(Phase::RollingBack));
        [self.switches_to(), back, self.active].into_iter().flatten().find(|side| side.aim == aim)
    }

    fn phase(&self) -> &'static str {
        self.phase.map_or("none", Phase::as_str)
    }
}

/// What the rules must know of the moment at which something is written. Pods are counted as the writer may have known them: nobody can
/// be blamed for what a watch hadn't shown.
pub trait Facts {
    /// The latest status that said anything when the write arrived.
    fn decided(&self) -> Decided<'_>;

    /// The status that the writer had seen. Who can't know takes the one that stood.
    fn known(&self) -> Decided<'_> {
        self.decided()
    }

    /// The rollout was Healthy before. Who can't know says no, and takes Initializing for the first deployment.
    fn was_healthy(&self) -> bool;

    /// What `replicas` asks for: of the present `spec` and the one that the writer had seen, the lesser.
    fn asked(&self) -> i64;

    /// Where an operator led the active Service last. None: nowhere, or nobody can know.
    fn led_to(&self) -> Option<Aim<'_>>;

    /// The active Service leads there before the write as after it.
    fn stays_at(&self, aim: Aim<'_>) -> bool;

    /// The writer saw the active Service select this. None: nobody can know.
    fn saw_service_at(&self, aim: Aim<'_>) -> Option<bool>;

    /// What is written to the active Service has the ports of this side.
    fn has_ports_of(&self, side: &Side<'_>) -> bool;

    /// Ready pods: at least and at most.
    fn ready(&self, aim: Aim<'_>) -> (i64, i64);

    /// Ready pods that have each named port of their side, at most.
    fn reachable(&self, side: &Side<'_>) -> i64;

    /// The same, of a side that its Deployment says to be complete, if that can be known.
    fn available(&self, side: &Side<'_>) -> i64;

    /// Ready pods of the live side by whoever tells of more of them.
    fn live(&self, active: &Side<'_>) -> i64;

    /// Pods that are missing may lack room, and are then no fault of their revision.
    fn may_lack_room(&self) -> bool;

    /// So long no further pod of a standby has got ready that no more is waited for. Who can't know says yes.
    fn no_further_pod_comes(&self, standby: &Side<'_>) -> bool;

    /// Ready pods of a color that are endpoints of the active Service since an operator led it there. Who can't know says none.
    fn endpoints_in(&self, color: Color) -> usize;

    /// The time of the present phase that counts, at most.
    fn lasted(&self) -> Option<SignedDuration>;

    fn drain(&self) -> SignedDuration;

    /// For so long after the drain a side that was left is a way back. None: it stays.
    fn stands_by(&self) -> Option<SignedDuration>;

    /// What the active Service leads to, if that could be deployed still, whatever the status says.
    fn serves_still(&self) -> Option<Aim<'_>>;
}

// === promise 1: where users are led ===

/// Only a recorded decision leads the active Service anywhere, and only to pods that can take over. A decision alone is not enough: pods
/// may have fallen since it was recorded.
///
/// # Errors
///
/// Nobody recorded that, or too few pods are there.
pub fn service_goes_where_it_may(facts: &impl Facts, to: Aim<'_>) -> Result<(), Broken> {
    let decided = facts.decided();
    let Some(side) = decided.leads_to(to) else {
        let first_waits = decided.phase == Some(Phase::Initializing) && to.revision == NOTHING && !facts.was_healthy();
        return holds(1, first_waits, || {
            format!("the active Service was led to {to}, and no recorded decision says so (phase {})", decided.phase())
        });
    };
    // What serves already, or serves first, takes nothing from anybody.
    if facts.stays_at(to) || decided.phase == Some(Phase::Initializing) {
        return Ok(());
    }
    let (ready, needed) = match side.role {
        Role::Preview => (facts.available(&side), full_size(facts, &side)),
        Role::Standby => (facts.reachable(&side), enough_to_go_back(facts, &side)),
        // One that served, whatever its ports, is where users belong: also with few pods, unless they leave pods for nothing.
        Role::Active => (facts.ready(to).1, i64::from(left(facts, to) > 0)),
    };
    holds(1, ready >= needed, || {
        let phase = decided.phase();
        format!(
            "the active Service was led to {to} with {ready} ready pods that have its ports, where {needed} were needed (phase {phase})"
        )
    })
}

/// Selector and ports are of one revision: with those of another one its pods aren't reached.
///
/// # Errors
///
/// The ports are of another revision.
pub fn service_has_the_ports_of_its_side(facts: &impl Facts, to: Aim<'_>) -> Result<(), Broken> {
    let side = facts.decided().leads_to(to);
    holds(1, side.is_none_or(|side| facts.has_ports_of(&side)), || {
        "the active Service has not the ports of the revision that it selects".into()
    })
}

/// The writer may not have seen yet that more are asked for.
fn full_size(facts: &impl Facts, candidate: &Side<'_>) -> i64 {
    let seen = facts.known().preview.filter(|seen| seen.aim == candidate.aim).map_or(candidate.replicas, |seen| seen.replicas);
    candidate.replicas.min(seen).max(facts.asked()).max(1)
}

/// The ready pods that users leave, at least.
fn left(facts: &impl Facts, to: Aim<'_>) -> i64 {
    let leaves = |aim: &Aim<'_>| *aim != to;
    facts.led_to().filter(leaves).map_or(0, |led| facts.ready(led).0)
}

/// As many as the side being left has, or all that the standby asks for. When no further pod comes, three quarters of those that it had and
/// half as many as the side being left has. On a person's order, and from a side with no ready pod, one. A side that is deployed again only
/// for this has the time to become complete.
fn enough_to_go_back(facts: &impl Facts, standby: &Side<'_>) -> i64 {
    let decided = facts.decided();
    let active = decided.active.map_or(0, |active| facts.ready(active.aim).0);
    let left = left(facts, standby.aim).max(active);
    if (decided.ordered && !decided.slow) || left == 0 {
        return 1;
    }
    if decided.slow {
        return standby.replicas.max(1);
    }
    let all = standby.replicas.min(left);
    let had = standby.ready_when_left.unwrap_or(standby.replicas);
    let fewest = (had - had / 4).max(left - left / 2);
    if facts.no_further_pod_comes(standby) { all.min(fewest).max(1) } else { all.max(1) }
}

/// The recorded active side becomes another only by a switch that was recorded before, and after the Service was seen to lead there. Where
/// somebody led the Service there by hand, one record may pass through the switch.
///
/// # Errors
///
/// No switch was recorded, or the Service leads elsewhere.
pub fn active_side_moves_only_by_a_switch(facts: &impl Facts, old: &Decided<'_>, new: &Decided<'_>) -> Result<(), Broken> {
    let (Some(was), Some(now)) = (old.active, new.active) else { return Ok(()) };
    if was.aim == now.aim {
        return Ok(());
    }
    let was_standby = old.standby.is_some_and(|side| side.aim == now.aim);
    let was_preview = old.preview.is_some_and(|side| side.aim == now.aim);
    let seen = facts.saw_service_at(now.aim);
    let by_switch = match old.phase {
        _ if old.switches_to().is_some() => was_preview,
        Some(Phase::RollingBack) => was_standby,
        Some(Phase::Initializing) if !facts.was_healthy() => true,
        _ => seen == Some(true) && (was_preview || (was_standby && new.phase == Some(Phase::RollingBack))),
    };
    holds(1, by_switch, || format!("the active side became {} without a switch (phase {})", now.aim, old.phase()))?;
    holds(1, seen != Some(false), || format!("{} is recorded as active, and the active Service doesn't select it", now.aim))
}

// === promises 2 and 12: what serves, and what stands by ===

/// A side that serves or stands by loses pods only where `replicas` asks for fewer; the standby goes when its time is over and another side
/// serves. What has no part to play goes when no traffic reaches it any more.
///
/// # Errors
///
/// It serves, is reached still, or is the way back.
pub fn size_is_kept(facts: &impl Facts, color: Color, runs: Option<&str>, (from, to): (i64, i64)) -> Result<(), Broken> {
    if to >= from {
        return Ok(());
    }
    let (decided, asked) = (facts.decided(), facts.asked());
    if to < asked {
        let goes = decided.phase == Some(Phase::ScalingDown);
        let protected = serves(facts, &decided, color, runs) || (!goes && stands_by(&decided, color, runs));
        holds(2, !protected, || format!("a protected side was scaled from {from} to {to}, where replicas asks for {asked}"))?;
        let reached = facts.endpoints_in(color);
        holds(12, reached == 0, || format!("{color} was scaled down while {reached} of its pods were endpoints of the active Service"))?;
    }
    // What a person had added by hand is taken away again.
    let shrinks = decided.standby.is_some_and(|standby| standby.aim.color == color && to < standby.replicas);
    match decided.phase.filter(|_| shrinks) {
        Some(Phase::Monitoring) => holds(2, false, || format!("the standby shrank from {from} to {to} while the new version was watched")),
        Some(Phase::ScalingDown) => standby_goes_in_its_time(facts),
        _ => Ok(()),
    }
}

/// By what the writer had seen: a pause or an edit that came later can't call back a request that is on its way.
fn standby_goes_in_its_time(facts: &impl Facts) -> Result<(), Broken> {
    let active = facts.known().active;
    let live = active.map_or(0, |active| facts.live(&active));
    let size = active.map_or(0, |active| active.replicas);
    // Fewer than three quarters are a failure that may need the way back, if they don't lack room: then the standby is the room.
    let fewest = if facts.may_lack_room() { 1 } else { size - size / 4 };
    holds(2, live >= fewest || facts.asked() == 0, || {
        format!("the way back was scaled down while {live} of {size} live pods were ready, where {fewest} were needed")
    })?;
    let (lasted, drain) = (facts.lasted(), facts.drain());
    holds(12, lasted.is_some_and(|lasted| lasted >= drain), || {
        format!("a side that served was scaled down before it was drained: after {lasted:?} of {drain:?}")
    })?;
    let over = facts.stands_by().map(|stands_by| drain.saturating_add(stands_by));
    holds(2, over.is_some_and(|over| lasted >= Some(over)), || {
        format!("the standby was scaled down after {lasted:?}, before its time was over: {over:?}")
    })
}

/// A side that serves or stands by keeps its pod template. `becomes`: the revision of another template that is written to the color, which
/// runs this revision, or did until its Deployment was deleted.
///
/// # Errors
///
/// It serves, is reached still, or is the way back.
pub fn template_is_kept(facts: &impl Facts, color: Color, runs: Option<&str>, becomes: &str) -> Result<(), Broken> {
    let decided = facts.decided();
    // Before the first Healthy only what users reach is protected, and not from what was decided while they reached nothing.
    let reached = facts.led_to().filter(|led| led.color == color && Some(led.revision) == runs).is_some_and(|led| facts.ready(led).0 > 0);
    let replaced = decided.active.is_some_and(|active| active.aim == Aim { color, revision: becomes });
    if decided.phase == Some(Phase::Initializing) && !facts.was_healthy() && (!reached || replaced) {
        return Ok(());
    }
    let protected = serves(facts, &decided, color, runs) || stands_by(&decided, color, runs);
    holds(2, !protected, || format!("a protected side got another pod template: {color} with revision {becomes}"))?;
    let reached = facts.endpoints_in(color);
    holds(12, reached == 0, || format!("{color} got another pod template while {reached} of its pods were endpoints of the active Service"))
}

/// By what the status says, and by where the active Service leads whatever it says.
fn serves(facts: &impl Facts, decided: &Decided<'_>, color: Color, runs: Option<&str>) -> bool {
    let led = facts.led_to().is_some_and(|led| led.color == color && Some(led.revision) == runs);
    led || decided.active.is_some_and(|active| active.aim.color == color)
}

/// Deployed again, a standby takes the place of a candidate that was given up: that one is nobody's way back, deleted or not.
fn stands_by(decided: &Decided<'_>, color: Color, runs: Option<&str>) -> bool {
    decided.standby.is_some_and(|standby| standby.aim.color == color && runs.is_none_or(|runs| runs == standby.aim.revision))
}

// === promise 4: a lost status ===

/// A status that was lost is rebuilt from what the active Service leads to: it is no permission to lead users elsewhere.
///
/// # Errors
///
/// It names another side.
pub fn rebuilt_active_side_is_the_one_that_serves(facts: &impl Facts, old: &Decided<'_>, new: &Decided<'_>) -> Result<(), Broken> {
    let (None, Some(now), Some(serves)) = (old.active, new.active, facts.serves_still()) else { return Ok(()) };
    holds(4, serves == now.aim, || format!("a rebuilt status names {} as active, and the active Service leads to {serves}", now.aim))
}
