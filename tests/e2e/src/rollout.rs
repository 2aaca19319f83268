//! One rollout, as a test drives it and waits for it.

use crate::{record::version, space::Space};
use bluegreen_api::{BlueGreenRollout, BlueGreenRolloutStatus, Color, Phase, Side};
use bluegreen_witness::{Event, Kind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// A rollout in a [`Space`].
pub struct Rollout<'s> {
    space: &'s Space,
    pub name: String,
    /// The generation that the test's latest change made: an answer to an earlier one is none.
    generation: AtomicI64,
    /// The version that it then had: a state before it is no answer either.
    version: AtomicU64,
    /// How many events there were before that change, or up to what the latest wait found. A state since then answers also if it
    /// has passed when the test begins to wait: on a busy machine the API server's answer to a change may come after it.
    since: AtomicUsize,
    orders: AtomicU64,
}

/// A version of a rollout.
#[derive(Clone, Debug)]
pub struct Seen {
    pub rollout: BlueGreenRollout,
    pub status: BlueGreenRolloutStatus,
}

impl Seen {
    fn of(object: &Value) -> Option<Self> {
        let rollout: BlueGreenRollout = serde_json::from_value(object.clone()).ok()?;
        let status = rollout.status.clone().unwrap_or_default();
        Some(Self { rollout, status })
    }

    pub fn phase(&self) -> Option<Phase> {
        self.status.phase
    }

    pub fn is(&self, phase: Phase) -> bool {
        self.status.phase == Some(phase)
    }

    pub fn active(&self) -> &Side {
        self.status.active.as_ref().expect("an active side")
    }

    /// The image that users reach, without its registry: `1.0.0`.
    pub fn serves(&self) -> &str {
        self.active().image.rsplit(':').next().unwrap_or_default()
    }

    pub fn candidate(&self) -> &Side {
        self.status.preview.as_ref().expect("a candidate")
    }

    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.type_ == type_)
    }

    pub fn is_true(&self, type_: &str) -> bool {
        self.condition(type_).is_some_and(|condition| condition.status == "True")
    }

    /// The reason of Stalled, while it is.
    pub fn stalled(&self) -> &str {
        self.condition("Stalled").map_or("", |condition| &condition.reason)
    }

    /// The reason of Reconciling, while it is.
    pub fn works(&self) -> &str {
        self.condition("Reconciling").map_or("", |condition| &condition.reason)
    }
}

impl<'s> Rollout<'s> {
    /// `mark` is how many events there were before it was created.
    pub(crate) fn of(space: &'s Space, object: &DynamicObject, mark: usize) -> Self {
        Self {
            space,
            name: object.metadata.name.clone().unwrap_or_default(),
            generation: AtomicI64::new(object.metadata.generation.unwrap_or_default()),
            version: AtomicU64::new(version(object)),
            since: AtomicUsize::new(mark),
            orders: AtomicU64::new(0),
        }
    }

    // === what people do ===

    /// A merge patch; it has to be taken.
    pub async fn patch(&self, patch: &Value) {
        self.try_patch(patch).await.unwrap_or_else(|message| panic!("the API server refused a patch of {}: {message}", self.name));
    }

    pub async fn try_patch(&self, patch: &Value) -> Result<(), String> {
        let mark = self.mark();
        let patched = self.space.try_patch(Kind::Rollout, &self.name, patch).await?;
        self.changed(&patched, mark);
        Ok(())
    }

    fn changed(&self, now: &DynamicObject, mark: usize) {
        self.generation.store(now.metadata.generation.unwrap_or_default(), Ordering::Relaxed);
        self.version.store(version(now), Ordering::Relaxed);
        self.since.store(mark, Ordering::Relaxed);
    }

    pub async fn spec(&self, spec: &Value) {
        self.patch(&json!({"spec": spec})).await;
    }

    /// Asks for another version: `2.0.0`, or `2.0.0-crash` for one with a fate.
    pub async fn version(&self, version: &str) {
        self.spec(&json!({"image": format!("registry.example/shop:{version}")})).await;
    }

    /// Gives an order for a revision, and returns its value: each time another one.
    pub async fn order(&self, verb: &str, revision: &str) -> String {
        let value = format!("{revision}/{}", self.orders.fetch_add(1, Ordering::Relaxed));
        self.annotate(verb, &value).await;
        value
    }

    pub async fn annotate(&self, verb: &str, value: &str) {
        self.patch(&json!({"metadata": {"annotations": {format!("bluegreen.dev/{verb}"): value}}})).await;
    }

    /// Empties the status, as a restored backup would.
    pub async fn lose_status(&self) {
        let api = self.space.api(Kind::Rollout);
        let nothing = Patch::Merge(json!({"status": null}));
        let mark = self.mark();
        let lost = api.patch_status(&self.name, &PatchParams::default(), &nothing).await.unwrap();
        self.changed(&lost, mark);
    }

    // === what they wait for ===

    /// The latest version that the witness has seen.
    pub fn now(&self) -> Seen {
        let object = self.space.seen(Kind::Rollout, &self.name);
        object.and_then(|object| Seen::of(&object)).unwrap_or_else(|| panic!("rollout {} is not there", self.name))
    }

    /// A mark in the record: [`Rollout::until_after`] looks at what comes later.
    pub fn mark(&self) -> usize {
        self.space.record.len()
    }

    /// Waits for a state that answers the test's latest change. None that comes is passed over.
    pub async fn until(&self, what: &str, is: impl Fn(&Seen) -> bool) -> Seen {
        let since = self.since.load(Ordering::Relaxed);
        let found = self.space.record.until(Kind::Rollout, &self.name, since, |event| self.answer(event, &is)).await;
        self.found(found, what)
    }

    pub async fn until_after(&self, mark: usize, what: &str, is: impl Fn(&Seen) -> bool) -> Seen {
        let found = self.space.record.until_after(mark, Kind::Rollout, &self.name, |event| self.answer(event, &is)).await;
        self.found(found, what)
    }

    /// A state that answers the test's latest change and is as wanted.
    fn answer(&self, event: &Event, is: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let generation = self.generation.load(Ordering::Relaxed);
        let seen = Seen::of(&event.object).filter(|seen| seen.status.observed_generation >= generation && is(seen))?;
        (event.version >= self.version.load(Ordering::Relaxed)).then_some(seen)
    }

    fn found(&self, found: Result<(usize, Seen), Duration>, what: &str) -> Seen {
        if let Ok((at, _)) = &found {
            self.since.store(at + 1, Ordering::Relaxed);
        }
        let (_, seen) = found.unwrap_or_else(|waited| {
            let generation = self.generation.load(Ordering::Relaxed);
            let seen = self.now();
            panic!(
                "rollout {}: {what}: not within {waited:?}. It is in phase {}, generation {} of {generation}: {}",
                self.name,
                seen.phase().map_or("none", Phase::as_str),
                seen.status.observed_generation,
                seen.status.message
            )
        });
        seen
    }

    pub async fn until_phase(&self, phase: Phase) -> Seen {
        self.until(&format!("phase {phase}"), |seen| seen.is(phase)).await
    }

    /// Waits until this version serves and nothing is under way.
    pub async fn until_healthy(&self, version: &str) -> Seen {
        self.until(&format!("{version} serves and nothing is under way"), |seen| {
            seen.is(Phase::Healthy) && seen.serves() == version && seen.is_true("Ready")
        })
        .await
    }

    // === what there is ===

    pub fn deployment(&self, color: Color) -> Value {
        self.space.seen(Kind::Deployment, &self.deployment_name(color)).unwrap_or_default()
    }

    pub fn deployment_name(&self, color: Color) -> String {
        bluegreen_api::names::deployment(&self.name, color)
    }

    pub async fn until_size(&self, color: Color, size: i64) {
        let name = self.deployment_name(color);
        let what = format!("{size} pods are asked for");
        self.space.until(Kind::Deployment, &name, &what, |deployment| deployment["spec"]["replicas"] == size).await;
    }

    /// Uids of the pods of a color, sorted.
    pub fn pods(&self, color: Color) -> Vec<String> {
        let selector = [("bluegreen.dev/rollout", self.name.as_str()), ("bluegreen.dev/color", color.as_str())];
        let mut uids: Vec<_> = self.space.pods(&selector).iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
        uids.sort();
        uids
    }

    /// The selector of the active Service.
    pub fn selector(&self) -> Value {
        self.space.seen(Kind::Service, &self.name).unwrap_or_default()["spec"]["selector"].clone()
    }
}
