//! The operator's loop, and the story that it tells of what it sees and records.

use super::World;
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{Decision, Effect, Observed, decide, decision::Change, measure, observed::progress};
use bluegreen_gates::{
    ask::What,
    reading::{CheckOutcome, Measurement, Outcome, Reading},
};
use std::collections::BTreeMap;

/// What a record tells whose phase and message are those of the one before.
fn what_is_new(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> String {
    let mut news: Vec<String> = new
        .gates
        .iter()
        .filter(|gate| !old.gates.contains(gate))
        .map(|gate| format!("{} is {}: {}", gate.name, format!("{:?}", gate.state).to_lowercase(), gate.message))
        .collect();
    let other = [
        (old.attempt != new.attempt, format!("attempt {}", new.attempt)),
        (old.clock != new.clock, "what counts of the time of this phase".to_owned()),
        (old.orders != new.orders, "which orders are spent".to_owned()),
        (old.replicas != new.replicas, format!("{} pods", new.replicas)),
        (old.epoch != new.epoch, "what was withdrawn".to_owned()),
        ((&old.active, &old.preview, &old.standby) != (&new.active, &new.preview, &new.standby), "the sides".to_owned()),
    ];
    news.extend(other.into_iter().filter(|(is_new, _)| *is_new).map(|(_, what)| what));
    if news.is_empty() { "something else".into() } else { news.join("; ") }
}

impl World {
    pub fn operator(&mut self) {
        for _ in 0..40 {
            let (seen, decision) = self.decision();
            match decision {
                Decision::Record(status) => self.record(*status),
                Decision::Act(effects) if self.freezes => {
                    self.freezes = false;
                    self.freeze(seen, effects);
                }
                Decision::Act(effects) => {
                    for effect in effects {
                        self.perform_as_seen(&effect, &seen);
                        if std::mem::take(&mut self.crashes) {
                            self.note("fault  the operator is killed after a write");
                            self.restart();
                            break;
                        }
                    }
                }
                Decision::Wait { .. } => {
                    if !self.take_measurements() {
                        return;
                    }
                }
            }
        }
        panic!("no fixpoint\n{}", self.story());
    }

    /// What is new since the last decision, as far as a reader of the story needs it.
    fn tell_sight(&mut self, seen: &Observed) {
        let mut sight = BTreeMap::new();
        for color in [Color::Blue, Color::Green] {
            let pods = seen.color(color).pods.iter();
            let Some(deployment) = seen.color(color).deployment.as_ref() else {
                sight.insert(color.to_string(), format!("{color} has no Deployment"));
                continue;
            };
            let ready = pods.filter(|pod| pod.ready && pod.revision == deployment.revision).count();
            let image = self.image_of(&deployment.revision);
            sight.insert(color.to_string(), format!("{color} {image}: {ready} ready of {} asked for", deployment.replicas));
        }
        let serves = self.serves().map_or("users reach nobody".to_owned(), |image| format!("users reach {image}"));
        sight.insert("users".into(), serves);
        for result in &seen.results {
            let value = match &result.outcome {
                Outcome::Readings(readings) => match readings.as_slice() {
                    [Reading::Value(value)] => value.to_string(),
                    other => format!("{other:?}"),
                },
                Outcome::Check(CheckOutcome::Passed(what) | CheckOutcome::Failed(what)) => what.clone(),
                other => format!("{other:?}"),
            };
            sight.insert(result.gate.clone(), format!("{}: {value}", result.gate));
        }
        let news: Vec<_> = sight.iter().filter(|(key, what)| self.sight.get(*key) != Some(what)).map(|(_, what)| what.clone()).collect();
        if !news.is_empty() {
            self.note(&format!("see    {}", news.join("; ")));
        }
        self.sight.extend(sight);
    }

    /// A look, and what it leads to.
    fn decision(&mut self) -> (Observed, Decision) {
        self.look();
        let seen = self.seen();
        let decision = decide(&seen);
        if !matches!(decision, Decision::Wait { .. }) {
            self.tell_sight(&seen);
        }
        (seen, decision)
    }

    /// Runs until the leader has such effects in its hands. Nothing of them is done.
    pub fn until_about_to(&mut self, such: impl Fn(&Self, &[Effect]) -> bool) -> (Observed, Vec<Effect>) {
        for _ in 0..100_000 {
            let (seen, decision) = self.decision();
            match decision {
                Decision::Record(status) => self.record(*status),
                Decision::Act(effects) if such(self, &effects) => return (seen, effects),
                Decision::Act(effects) => effects.iter().for_each(|effect| self.perform_as_seen(effect, &seen)),
                Decision::Wait { .. } if self.controllers() => {}
                Decision::Wait { .. } => self.pass_time(1),
            }
        }
        panic!("it never came to that\n{}", self.story());
    }

    pub fn until_about_to_act_in(&mut self, phase: Phase) -> (Observed, Vec<Effect>) {
        self.until_about_to(|world, _| world.phase() == phase)
    }

    /// The leader keeps what it was about to do, and another one leads.
    pub fn freeze(&mut self, seen: Observed, effects: Vec<Effect>) {
        self.note("fault  the leader freezes before it acts; another leads");
        self.sleeper = Some((seen, effects));
        self.restart();
    }

    /// Another process leads: what the former one had in memory is lost.
    pub fn restart(&mut self) {
        self.term += 1;
        self.progress.clear();
        self.applied.clear();
        self.results.clear();
        self.refusals.clear();
    }

    /// The former leader wakes up and does what it was about to do.
    pub fn wake(&mut self) {
        let applied = self.applied.clone();
        let Some((seen, effects)) = self.sleeper.take() else { return };
        for effect in effects {
            self.note("fault  the sleeper wakes");
            if let Change::WriteDeployment { revision, .. } = &effect.change
                && !self.revisions.contains_key(revision)
            {
                // Lost meanwhile: there is nothing to apply from.
                self.note("404    ControllerRevision");
                continue;
            }
            self.perform_as_seen(&effect, &seen);
        }
        self.applied = applied;
    }

    pub fn look(&mut self) {
        for color in [Color::Blue, Color::Green] {
            let seen = self.color_seen(color);
            match progress::fold(self.progress.get(&color), &seen, self.now) {
                Some(progress) => self.progress.insert(color, progress),
                None => self.progress.remove(&color),
            };
        }
    }

    pub fn record(&mut self, status: BlueGreenRolloutStatus) {
        self.records += 1;
        if self.status.phase != status.phase {
            let name = |phase: Option<Phase>| phase.map_or("nothing".into(), |phase| phase.to_string());
            self.note(&format!("record {} → {}: {}", name(self.status.phase), name(status.phase), status.message));
        } else if self.status.message != status.message {
            self.note(&format!("record {}", status.message));
        } else {
            self.note(&format!("record {}", what_is_new(&self.status, &status)));
        }
        for event in bluegreen_engine::events::between(&self.status, &status) {
            self.note(&format!("event  {} {}: {}", event.type_, event.reason, event.note));
        }
        let both = ["Reconciling", "Stalled"].iter().filter(|type_| status.conditions.iter().any(|c| c.type_ == **type_)).count();
        assert!(both <= 1, "Reconciling and Stalled at once");
        self.protected |= status.phase == Some(Phase::Healthy);
        self.status = status;
        self.results.clear();
    }

    fn take_measurements(&mut self) -> bool {
        let seen = self.seen();
        let mut taken = false;
        for wanted in measure::wanted(&seen) {
            if wanted.due > self.now {
                continue;
            }
            let image = self.image_of(&wanted.revision);
            let outcome = (self.gauge)(&wanted.gate, &image, self.now);
            let asked = match &wanted.what {
                What::Http { targets, .. } => Some(format!("{} pods", targets.len())),
                What::Url { url, .. } | What::Webhook { url, .. } => Some(url.clone()),
                _ => None,
            };
            let value = match &outcome {
                Outcome::Readings(readings) => {
                    readings.iter().find_map(|reading| if let Reading::Value(value) = reading { Some(*value) } else { None })
                }
                Outcome::Check(_) => None,
            };
            let outcome = match (asked, value) {
                (Some(asked), Some(value)) => {
                    let what = format!("{asked} answered {}", if value > 0.0 { 500 } else { 200 });
                    Outcome::Check(if value > 0.0 { CheckOutcome::Failed(what) } else { CheckOutcome::Passed(what) })
                }
                _ => outcome,
            };
            taken = true;
            self.results.push(Measurement {
                gate: wanted.gate,
                definition: wanted.definition,
                attempt: wanted.attempt,
                revision: wanted.revision,
                at: self.now,
                asked: wanted.what.asked(),
                outcome,
            });
        }
        taken
    }
}
