//! The promises of the design (section 4), each as something that an outsider can see broken.

mod moment;

use crate::{
    Event, Kind,
    object::{
        active_service, has_named_ports, is_controlled_by, is_ready, managed, manages, manages_more_than_status, mark, may_be_gone,
        numbers, owners,
    },
    promises::{
        Aim, Broken, Decided, active_side_moves_only_by_a_switch, rebuilt_active_side_is_the_one_that_serves, service_goes_where_it_may,
        service_has_the_ports_of_its_side, size_is_kept, template_is_kept,
    },
};
use bluegreen_api::Phase;
use jiff::{SignedDuration, Timestamp};
use moment::{Moment, color};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

const ROLLOUT: &str = "bluegreen.dev/rollout";
const COLOR: &str = "bluegreen.dev/color";
const REVISION: &str = "bluegreen.dev/revision";
const ADOPT: &str = "bluegreen.dev/adopt";
/// So many versions after its end a pod is nobody's news any more, however late watches are.
const FORGOTTEN: u64 = 20_000;

/// The promises that these events break, each in a sentence that names the promise, the object and its version.
///
/// `blind`: between these versions not every change was told. What happened then is taken as it is.
pub fn judge(events: &[Event], blind: &[Range<u64>]) -> Vec<String> {
    let mut world = World { blind: blind.to_vec(), ..World::default() };
    world.see_in_order(events.iter());
    world.broken
}

/// An object as it was from this version on; None: it was gone.
type Version = (u64, Option<Arc<Value>>);

/// What is there after the events so far, and what they broke.
#[derive(Clone, Default)]
pub(crate) struct World {
    objects: BTreeMap<(Kind, String), Arc<Value>>,
    /// Every `spec` of a rollout, by its generation: a status answers one of them.
    specs: BTreeMap<(String, i64), Value>,
    /// The selector by which an operator led each active Service last.
    led: BTreeMap<String, Value>,
    /// The pod template that the operator gave each Deployment last.
    templates: BTreeMap<String, Value>,
    /// The latest status of each rollout that said anything. When a status is lost, its decisions were made nevertheless.
    decided: BTreeMap<String, Value>,
    /// Every version of each pod and Deployment.
    past: BTreeMap<(Kind, String), Vec<Version>>,
    /// When which version came, in their order.
    came: Vec<(Timestamp, u64)>,
    /// So late an operator may know of something, and its request arrive, where what its writer knew isn't known.
    pub(crate) lag: SignedDuration,
    pub(crate) blind: Vec<Range<u64>>,
    pub(crate) broken: Vec<String>,
}

impl World {
    /// In the order of their versions. None of them is older than one that was seen before.
    pub(crate) fn see_in_order<'e>(&mut self, events: impl Iterator<Item = &'e Event>) {
        let mut ordered: Vec<_> = events.collect();
        ordered.sort_by_key(|event| event.version);
        for event in ordered {
            self.see(event);
        }
    }

    fn see(&mut self, event: &Event) {
        let key = (event.kind, event.name.clone());
        let before = self.objects.get(&key).cloned();
        let by_test = before.as_ref().is_some_and(|before| mark(before) != mark(&event.object));
        match event.kind {
            Kind::Rollout => self.rollout(event, before.as_deref()),
            Kind::Service if !by_test => self.service(event, before.as_deref()),
            Kind::Deployment if !by_test => self.deployment(event, before.as_deref()),
            Kind::Revision if !by_test => self.revision(event),
            Kind::Service | Kind::Deployment | Kind::Pod | Kind::Revision => {}
        }
        if !self.lag.is_zero() {
            self.came.push((event.seen.max(self.came.last().map_or(event.seen, |(at, _)| *at)), event.version));
        }
        if matches!(event.kind, Kind::Pod | Kind::Deployment) {
            let object = (!event.deleted).then(|| event.object.clone());
            self.past.entry(key.clone()).or_default().push((event.version, object));
        }
        if event.kind == Kind::Pod && event.deleted {
            let known = |at: u64| at.saturating_add(FORGOTTEN) > event.version;
            self.past.retain(|_, past| past.last().is_some_and(|(at, object)| object.is_some() || known(*at)));
        }
        if event.deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, event.object.clone());
        }
    }

    /// As [`Self::break_promise`], where a rule that the model shares finds it.
    fn blame(&mut self, event: &Event, judged: impl IntoIterator<Item = Result<(), Broken>>) {
        for Broken { promise, how } in judged.into_iter().filter_map(Result::err) {
            self.break_promise(promise, event, &how);
        }
    }

    fn break_promise(&mut self, number: u8, event: &Event, what: &str) {
        if self.blind.iter().any(|blind| blind.contains(&event.version)) {
            return;
        }
        let (kind, name, version) = (event.kind.as_str(), &event.name, event.version);
        self.broken.push(format!("promise {number}: {kind} {name} at version {version} ({}): {what}", event.seen));
    }

    /// What is deployed from it later is what it holds, whatever its name.
    fn revision(&mut self, event: &Event) {
        let named = &event.object["metadata"]["labels"][REVISION];
        let held = &event.object["data"]["spec"]["template"]["metadata"]["labels"][REVISION];
        if !event.deleted && named != held {
            self.break_promise(8, event, &format!("it is named for revision {named} and holds revision {held}"));
        }
    }

    fn object(&self, kind: Kind, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&(kind, name.to_owned()))
    }

    fn led_to(&self, rollout: &Value) -> Option<Aim<'_>> {
        self.led.get(active_service(rollout)).and_then(Aim::of_selector)
    }

    /// Whoever wrote this knew the world of one of these versions.
    fn known(&self, event: &Event) -> RangeInclusive<u64> {
        let before = self.came.partition_point(|(at, _)| *at < event.seen - self.lag).checked_sub(1);
        match event.known {
            Some(known) => known.pods..=known.pods,
            None if self.lag.is_zero() => event.version..=event.version,
            None => before.map_or(0, |before| self.came[before].1)..=event.version,
        }
    }

    /// Pods of this rollout that served the aim, as far as whoever wrote this could know of them: at least and at most.
    fn ready(&self, event: &Event, rollout: &str, aim: Aim<'_>) -> (i64, i64) {
        self.serving(event, rollout, aim, &Value::Null)
    }

    /// The same of pods that have each port that one of these names as its target: a Service leads to no other.
    fn serving(&self, event: &Event, rollout: &str, aim: Aim<'_>, ports: &Value) -> (i64, i64) {
        let known = self.known(event);
        let serves = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            labels[ROLLOUT] == rollout
                && labels[COLOR] == aim.color.as_str()
                && labels[REVISION] == *aim.revision
                && is_ready(pod)
                && has_named_ports(pod, ports)
        };
        let (mut least, mut most) = (0, 0);
        for (_, past) in self.past.iter().filter(|((kind, _), _)| *kind == Kind::Pod) {
            least += i64::from(versions(past, &known).all(|pod| pod.is_some_and(serves)));
            most += i64::from(versions(past, &known).any(|pod| pod.is_some_and(serves)));
        }
        (least, most)
    }

    /// At most, by whoever tells of more: the watch of pods, or what the Deployment says itself.
    fn reported_ready(&self, event: &Event, rollout: &str, aim: Aim<'_>) -> i64 {
        let (_, ready) = self.ready(event, rollout, aim);
        let since = match event.known {
            Some(known) => known.deployments,
            None if self.lag.is_zero() => return ready,
            None => *self.known(event).start(),
        };
        let past = self.past.get(&(Kind::Deployment, format!("{rollout}-{}", aim.color))).map(Vec::as_slice).unwrap_or_default();
        // The answer to a write is newer than what the watch has come to.
        let counts = versions(past, &(since..=event.version)).flatten().filter_map(|deployment| {
            let of_aim = deployment["spec"]["template"]["metadata"]["labels"][REVISION] == *aim.revision;
            let observed = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
            deployment["status"]["availableReplicas"].as_i64().filter(|_| of_aim && observed)
        });
        counts.max().unwrap_or(0).max(ready)
    }

    fn observed_spec(&self, rollout: &Value) -> Option<&Value> {
        let name = rollout["metadata"]["name"].as_str()?;
        let generation = rollout["status"]["observedGeneration"].as_i64()?;
        self.specs.get(&(name.to_owned(), generation))
    }

    // === the active Service ===

    fn service(&mut self, event: &Event, before: Option<&Value>) {
        self.untouched_if_foreign(event, before);
        let Some(rollout) = self.rollout_of_active_service(&event.name) else { return };
        if !is_controlled_by(&event.object, &rollout) {
            if event.deleted {
                self.led.remove(&event.name);
            }
            return;
        }
        if event.deleted {
            if !may_be_gone(before, &rollout) {
                self.break_promise(1, event, "the active Service was deleted");
            }
            return;
        }
        // What was written of it leads nowhere, or nowhere else: somebody may have led it there before.
        let leads = |service: &Value| (service["spec"]["selector"].clone(), numbers(&service["spec"]["ports"]));
        let selector = &event.object["spec"]["selector"];
        if let Some(before) = before.filter(|before| leads(before) == leads(&event.object)) {
            // One that was led before it was taken over leads there from now on.
            if !is_controlled_by(before, &rollout) && Aim::of_selector(selector).is_some() {
                self.led.insert(event.name.clone(), selector.clone());
            }
            return;
        }
        let Some(aim) = Aim::of_selector(selector) else {
            self.break_promise(1, event, "the active Service lost its selector");
            return;
        };
        let moment = Moment { world: self, event, rollout: &rollout, before };
        let judged = [service_goes_where_it_may(&moment, aim), service_has_the_ports_of_its_side(&moment, aim)];
        self.blame(event, judged);
        self.led.insert(event.name.clone(), selector.clone());
    }

    fn rollout_of_active_service(&self, service: &str) -> Option<Arc<Value>> {
        let rollouts = self.objects.iter().filter(|((kind, _), _)| *kind == Kind::Rollout);
        rollouts.map(|(_, rollout)| rollout).find(|rollout| active_service(rollout) == service).cloned()
    }

    /// An object that isn't the rollout's and doesn't say that it may be taken is left alone.
    fn untouched_if_foreign(&mut self, event: &Event, before: Option<&Value>) {
        let Some(before) = before else { return };
        let labels = &before["metadata"]["labels"];
        let foreign = owners(before).is_empty() && labels[ROLLOUT].is_null() && before["metadata"]["annotations"][ADOPT].is_null();
        // What is left of the time when it was the rollout's own is no write.
        if foreign && manages(&event.object) && !managed(before).eq(managed(&event.object)) {
            self.break_promise(6, event, "an object of somebody else was written");
        }
    }

    // === Deployments ===

    fn deployment(&mut self, event: &Event, before: Option<&Value>) {
        self.untouched_if_foreign(event, before);
        let Some((name, color)) = event.name.rsplit_once('-').and_then(|(name, named)| Some((name, color(named)?))) else { return };
        let Some(rollout) = self.object(Kind::Rollout, name).cloned() else {
            if event.deleted {
                self.templates.remove(&event.name);
            }
            return;
        };
        if !is_controlled_by(&event.object, &rollout) {
            if event.deleted {
                self.templates.remove(&event.name);
            }
            return;
        }
        if event.deleted {
            if !may_be_gone(before, &rollout) {
                self.break_promise(2, event, "a Deployment was deleted");
            }
            return;
        }
        let template = &event.object["spec"]["template"];
        let revision = |template: &Value| template["metadata"]["labels"][REVISION].as_str().map(str::to_owned);
        let given = self.templates.get(&event.name);
        let runs = before.map(|before| &before["spec"]["template"]);
        let known = runs.or(given);
        let moment = Moment { world: self, event, rollout: &rollout, before };
        let mut judged = vec![];
        if let Some(before) = before {
            let size = |deployment: &Value| deployment["spec"]["replicas"].as_i64().unwrap_or(1);
            judged.push(size_is_kept(&moment, color, runs.and_then(revision).as_deref(), (size(before), size(&event.object))));
        }
        // What somebody gave it meanwhile is put right.
        if known.is_some() && runs != Some(template) && given != Some(template) {
            let becomes = revision(template).unwrap_or_default();
            judged.push(template_is_kept(&moment, color, known.and_then(revision).as_deref(), &becomes));
        }
        self.blame(event, judged);
        // One that merely got another status may still have the template that the test gave it.
        if runs != Some(template) {
            self.templates.insert(event.name.clone(), template.clone());
        }
    }

    // === the rollout itself ===

    fn rollout(&mut self, event: &Event, before: Option<&Value>) {
        let rollout = &*event.object;
        let generation = rollout["metadata"]["generation"].as_i64().unwrap_or_default();
        self.specs.insert((event.name.clone(), generation), rollout["spec"].clone());
        if event.deleted {
            self.decided.remove(&event.name);
            return;
        }
        if !rollout["status"]["phase"].is_null() {
            self.decided.insert(event.name.clone(), rollout["status"].clone());
        }
        if manages_more_than_status(rollout) {
            self.break_promise(6, event, "the operator wrote something other than the status of a rollout");
        }
        self.conditions(event, generation);
        let empty = Value::Null;
        let (old, new) = (before.map_or(&empty, |before| &before["status"]), &rollout["status"]);
        let (was, is) = (Decided::in_status(old), Decided::in_status(new));
        // One that is armed is asked for at each record for as long as it is, and no more when it was made.
        let made = was.armed && was.switches_to().map(|candidate| candidate.aim) == self.led_to(rollout);
        let begins = is.phase == Some(Phase::Promoting) && was.phase != Some(Phase::Promoting);
        if is.armed || (begins && !made) {
            self.gates(event, new, is.armed);
        }
        let moment = Moment { world: self, event, rollout, before };
        let judged =
            [active_side_moves_only_by_a_switch(&moment, &was, &is), rebuilt_active_side_is_the_one_that_serves(&moment, &was, &is)];
        self.blame(event, judged);
        self.first_replaced(event, &was, &is);
    }

    /// A first revision that users reach is not replaced in its own color. Its pods may get ready while the replacement is on its way.
    fn first_replaced(&mut self, event: &Event, old: &Decided<'_>, new: &Decided<'_>) {
        let starts = [old, new].iter().all(|decided| decided.phase == Some(Phase::Initializing));
        let Some((former, active)) = old.active.zip(new.active).filter(|_| starts).map(|(old, new)| (old.aim, new.aim)) else { return };
        let replaced = active.color == former.color && active.revision != former.revision;
        let reached = self.led_to(&event.object) == Some(former);
        if replaced && reached && self.ready(event, &event.name, former).0 > 0 {
            self.break_promise(2, event, "the first revision was replaced in its color while users reached it");
        }
    }

    /// As kstatus reads them.
    fn conditions(&mut self, event: &Event, generation: i64) {
        let status = &event.object["status"];
        let Some(conditions) = status["conditions"].as_array() else { return };
        let has = |type_: &str| conditions.iter().any(|condition| condition["type"] == type_);
        if !has("Ready") || (has("Reconciling") && has("Stalled")) {
            self.break_promise(11, event, "Ready is missing, or Reconciling and Stalled are both there");
        }
        let observed = &status["observedGeneration"];
        if conditions.iter().any(|condition| condition["observedGeneration"] != *observed)
            || observed.as_i64().is_none_or(|it| it > generation)
        {
            self.break_promise(11, event, "observedGeneration of the status and its conditions are not of one record");
        }
        let contradicts = conditions.iter().any(|condition| condition["type"] == "Reconciling" && condition["status"] != "True")
            || conditions.iter().any(|condition| condition["type"] == "Stalled" && condition["status"] != "True");
        if contradicts {
            self.break_promise(11, event, "Reconciling or Stalled is there without being True");
        }
    }

    /// The switch was decided: every gate that `spec` defines must have been passed. Where it is armed there must be none.
    fn gates(&mut self, event: &Event, status: &Value, armed: bool) {
        let spec = self.observed_spec(&event.object).cloned().unwrap_or_default();
        let state = |name: &str| {
            let gates = status["gates"].as_array().into_iter().flatten();
            gates.filter(|gate| gate["name"] == name).find_map(|gate| gate["state"].as_str()).unwrap_or("missing").to_owned()
        };
        let approved = state("approval") == "Passed";
        let verification = &spec["verification"];
        let defined = ["checks", "metrics"].into_iter().flat_map(|kind| verification[kind].as_array().into_iter().flatten());
        // What has a weight may be bad: the score decides for it.
        let deciding = defined.filter(|gate| gate.get("weight").is_none()).filter_map(|gate| gate["name"].as_str());
        let score = verification.get("score").map(|_| "score");
        let names: Vec<_> = deciding.chain(score).map(|name| format!("verification/{name}")).collect();
        for name in names {
            let state = state(&name);
            if state != "Passed" && !(state == "Inconclusive" && approved) {
                self.break_promise(3, event, &format!("the switch was decided while gate {name} was {state}"));
            }
        }
        if spec["promotion"]["mode"] == "Manual" && !approved {
            self.break_promise(3, event, "the switch was decided without the approval that spec asks for");
        }
        if spec["promotion"]["mode"] == "Never" {
            self.break_promise(3, event, "the switch was decided though promotion.mode is Never");
        }
        let after = spec["promotion"]["after"].as_str().is_some_and(|after| after != "0s");
        if armed
            && (after
                || spec["replicas"] == 0
                || spec["preview"]["replicas"].as_i64().is_some_and(|size| Some(size) < spec["replicas"].as_i64()))
        {
            self.break_promise(3, event, "the switch was armed though more than pods stands before it");
        }
        if spec["paused"] == true || status["pausedByOrder"] == true {
            self.break_promise(3, event, "the switch was decided while the rollout was paused");
        }
        if status["preview"]["revision"] != status["current"]["revision"] {
            self.break_promise(3, event, "the switch was decided for a revision that is not the one of the attempt");
        }
    }
}

/// An object as it was at the beginning of this time, and as it became in it.
fn versions<'p>(past: &'p [Version], time: &RangeInclusive<u64>) -> impl Iterator<Item = Option<&'p Value>> + use<'p> {
    let (begin, end) = (past.partition_point(|(at, _)| at <= time.start()), past.partition_point(|(at, _)| at <= time.end()));
    let first = begin.checked_sub(1).and_then(|first| past[first].1.as_deref());
    std::iter::once(first).chain(past[begin..end.max(begin)].iter().map(|(_, object)| object.as_deref()))
}

#[cfg(test)]
mod tests;
