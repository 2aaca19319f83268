//! Carries out effects, each under its guard.

use crate::{
    cache::{Cache, Watched},
    clock,
    gather::{deployment_seen, service_seen},
    key::Key,
    kinds::{Deployment, Kind, Leftovers, Revision, Seen, Service},
    live::Live,
    memory::Memory,
    requests::{Answer, Refused, Requests},
};
use bluegreen_api::{Color, names};
use bluegreen_engine::{
    Effect, Observed,
    decision::{Change, Guard, Manner, Object, Role},
    observed::{Owner, facts, services},
    render,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// A resourceVersion that no object has: an apply that carries it creates, or is refused.
const NONE: &str = "1";
/// A revision is applied right after it was written; these are enough to spare that read.
const RECENT: usize = 32;

/// How an effect went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    Done,
    /// The object isn't the one that was seen. It has been read anew.
    Stale,
    /// The API server refused it; remembered for the next decision.
    Refused,
}

pub struct Performer {
    pub requests: Requests,
    pub live: Live,
    pub cache: Arc<Cache>,
    pub memory: Arc<Memory>,
    recent: Mutex<VecDeque<(Key, Arc<Value>)>>,
}

impl Performer {
    pub fn new(requests: Requests, cache: Arc<Cache>, memory: Arc<Memory>) -> Self {
        Self { live: Live::new(requests.clone()), requests, cache, memory, recent: Mutex::default() }
    }

    pub async fn perform(&self, key: &Key, seen: &Observed, effect: &Effect) -> Performed {
        let answer = match &effect.change {
            Change::WriteRevision { hash, number } => self.create(key, render::controller_revision(seen, hash, *number)).await,
            Change::RestoreRevision { hash, number, color } => self.restore(key, seen, (hash, *number, *color)).await,
            Change::DeleteRevision { hash } => self.delete(&key.beside(names::revision(&key.name, hash))).await,
            Change::AdoptRevision { hash } => self.adopt(key, seen, hash, &effect.guard).await,
            Change::WriteDeployment { color, revision, replicas, manner } => {
                self.deploy(key, seen, (*color, revision, *replicas, manner), &effect.guard).await
            }
            Change::Scale { color, replicas } => self.scale(key, seen, (*color, *replicas), &effect.guard).await,
            Change::SettleDeployment { color } => self.settle_deployment(key, seen, *color, &effect.guard).await,
            Change::LeadService { role, target, extent } => match seen.service(*role) {
                None => self.make_service(key, render::service(seen, *role, target, *extent)).await,
                Some(service) => {
                    let patch = render::lead(seen, *role, service, target, *extent);
                    self.write_service(key, seen, *role, patch, &effect.guard).await.map(drop)
                }
            },
            Change::SettleService { role, marks_only } => match seen.service(*role) {
                None => Ok(()),
                Some(service) => {
                    let patch = render::settle(seen, *role, service, *marks_only);
                    let written = self.write_service(key, seen, *role, patch, &effect.guard).await;
                    written.and_then(|written| if *marks_only { Ok(()) } else { as_sent(seen, *role, &written) })
                }
            },
            Change::ReleaseService { role } => self.release(key, seen, *role, &effect.guard).await,
            Change::Fence { object, epoch } => self.fence(key, seen, (object, epoch), &effect.guard).await,
        };
        self.remember(key, seen, effect, answer).await
    }

    async fn remember(&self, key: &Key, seen: &Observed, effect: &Effect, answer: Result<(), Not>) -> Performed {
        match answer {
            Ok(()) => {
                tracing::debug!(rollout = %key, change = ?effect.change, why = effect.why, "done");
                // A size may be written beside a template that is refused.
                if !matches!(effect.change, Change::Scale { color, .. } if facts::drifted(seen, color)) {
                    self.memory.of(key, &seen.uid, |remembered| remembered.succeeded(effect));
                }
                Performed::Done
            }
            Err(Not::Stale) => {
                tracing::debug!(rollout = %key, change = ?effect.change, why = effect.why, "not written: the object changed since it was read");
                // The writer of the object may have recorded a newer intention as well.
                self.live.refresh(&self.cache.rollouts, key).await;
                Performed::Stale
            }
            Err(Not::Refused(Refused { code, message, .. })) => {
                tracing::warn!(rollout = %key, object = ?effect.object(), why = effect.why, code, message, "the API server refused a change");
                self.memory.of(key, &seen.uid, |remembered| {
                    remembered.refused(effect, code, message, seen.generation, clock::now());
                });
                Performed::Refused
            }
        }
    }

    async fn create(&self, key: &Key, revision: Value) -> Result<(), Not> {
        let name = key.beside(revision["metadata"]["name"].as_str().unwrap_or_default());
        match self.requests.create::<Revision>(&key.namespace, &revision).await {
            Ok(created) => {
                self.cache.revisions.shelf().stand_in(created, Instant::now());
                self.keep(name, Arc::new(revision["data"].clone()));
                Ok(())
            }
            // The name says what is in it: written before, and not seen since.
            Err(refused) if refused.code == 409 => match self.live.read(&self.cache.revisions, &name).await {
                Ok(()) => Err(Not::Stale),
                Err(refused) => Err(Not::Refused(refused)),
            },
            Err(refused) => Err(Not::Refused(refused)),
        }
    }

    async fn make_service(&self, key: &Key, service: Value) -> Result<(), Not> {
        let name = key.beside(service["metadata"]["name"].as_str().unwrap_or_default());
        let answer = self.requests.create::<Service>(&key.namespace, &service).await;
        self.settle(&self.cache.services, &name, answer, &Guard::Absent).await.map(drop)
    }

    async fn write_service(&self, key: &Key, seen: &Observed, role: Role, patch: Value, guard: &Guard) -> Result<Seen<Service>, Not> {
        let name = key.beside(services::service_name(seen, role));
        self.merge(&self.cache.services, &name, patch, guard).await
    }

    /// Takes the entry of earlier applies out of `metadata.managedFields`, if the Service is the one in which it was seen.
    async fn release(&self, key: &Key, seen: &Observed, role: Role, guard: &Guard) -> Result<(), Not> {
        let name = key.beside(services::service_name(seen, role));
        let found = self.cache.services.shelf().get(&name, Instant::now());
        let (Some(found), Guard::ResourceVersion(version)) = (found, guard) else { return Err(Not::Stale) };
        let Some(leftovers) = found.body.leftovers.filter(|_| *found.head.resource_version == **version) else { return Err(Not::Stale) };
        let answer = self.requests.patch::<Service>(&name, &json!(without(leftovers, version))).await;
        self.settle(&self.cache.services, &name, answer, guard).await.map(drop)
    }

    async fn restore(&self, key: &Key, seen: &Observed, (hash, number, color): (&str, i64, Color)) -> Result<(), Not> {
        let name = key.beside(names::deployment(&key.name, color));
        let was_seen = seen.color(color).deployment.as_ref().is_some();
        match self.requests.get_whole::<Deployment>(&name).await {
            Ok(live) if runs(&live, hash) && (was_seen || is_owned(&live, seen)) => {
                self.create(key, render::restored_revision(seen, hash, number, &live)).await
            }
            Ok(_) if was_seen => {
                // The Deployment runs another revision by now, whose content must not be stored under this name.
                self.live.refresh(&self.cache.deployments, &name).await;
                Err(Not::Stale)
            }
            Ok(_) => Err(lost(&name, "belongs to another owner or runs another revision")),
            Err(refused) if refused.is_absent() && !was_seen => Err(lost(&name, "is gone too")),
            Err(refused) if refused.is_absent() => {
                self.cache.deployments.shelf().gone(&name, Instant::now());
                Err(Not::Stale)
            }
            Err(refused) => Err(Not::Refused(refused)),
        }
    }

    async fn delete(&self, name: &Key) -> Result<(), Not> {
        let Some(found) = self.cache.revisions.shelf().get(name, Instant::now()) else { return Ok(()) };
        match self.requests.delete::<Revision>(name, &found.head.uid).await {
            Err(refused) if !refused.is_absent() => Err(self.not(&self.cache.revisions, name, refused, &Guard::None).await),
            _ => {
                self.cache.revisions.shelf().gone(name, Instant::now());
                Ok(())
            }
        }
    }

    async fn adopt(&self, key: &Key, seen: &Observed, hash: &str, guard: &Guard) -> Result<(), Not> {
        let name = key.beside(names::revision(&key.name, hash));
        self.merge(&self.cache.revisions, &name, render::adopt_revision(seen), guard).await.map(drop)
    }

    async fn deploy(
        &self,
        key: &Key,
        seen: &Observed,
        (color, revision, replicas, manner): (Color, &str, i32, &Manner),
        guard: &Guard,
    ) -> Result<(), Not> {
        let data = self.revision_data(&key.beside(names::revision(&key.name, revision))).await?;
        let name = key.beside(names::deployment(&key.name, color));
        let body = render::deployment(seen, (color, replicas, manner), &data);
        let deployments = &self.cache.deployments;
        let written = match guard {
            Guard::Absent => {
                let answer = self.requests.create_strictly::<Deployment>(&key.namespace, &body).await;
                self.settle(deployments, &name, answer, guard).await?
            }
            Guard::ResourceVersion(version) if *manner != Manner::Apply => {
                let found = deployments.shelf().get(&name, Instant::now());
                let bare = found.as_ref().map_or(&[][..], |found| found.body.bare);
                let owned = seen.color(color).deployment.as_ref().is_some_and(|deployment| deployment.owner == Owner::Us);
                let answer = self.requests.patch::<Deployment>(&name, &render::whole(&body, version, bare, owned)).await;
                self.settle(deployments, &name, answer, guard).await?
            }
            _ => self.apply(deployments, &name, body, guard).await?,
        };
        self.applied(key, seen, color, &written);
        Ok(())
    }

    async fn scale(&self, key: &Key, seen: &Observed, (color, replicas): (Color, i32), guard: &Guard) -> Result<(), Not> {
        let name = key.beside(names::deployment(&key.name, color));
        let written = self.merge(&self.cache.deployments, &name, render::scale(replicas), guard).await?;
        // What somebody else changed besides stays to be put right.
        if !facts::drifted(seen, color) {
            self.applied(key, seen, color, &written);
        }
        Ok(())
    }

    async fn settle_deployment(&self, key: &Key, seen: &Observed, color: Color, guard: &Guard) -> Result<(), Not> {
        let Some(deployment) = &seen.color(color).deployment else { return Ok(()) };
        let name = key.beside(names::deployment(&key.name, color));
        let patch = render::settle_deployment(seen, &deployment.written);
        let written = self.merge(&self.cache.deployments, &name, patch, guard).await?;
        if deployment_seen(seen, color, &written, None).settings_intact { Ok(()) } else { Err(changed("the Deployment")) }
    }

    async fn fence(&self, key: &Key, seen: &Observed, (object, epoch): (&Object, &str), guard: &Guard) -> Result<(), Not> {
        let patch = render::fence(epoch);
        match object {
            Object::Deployment(color) => {
                let name = key.beside(names::deployment(&key.name, *color));
                self.merge(&self.cache.deployments, &name, patch, guard).await.map(drop)
            }
            Object::Service(role) => {
                let name = key.beside(services::service_name(seen, *role));
                self.merge(&self.cache.services, &name, patch, guard).await.map(drop)
            }
            // Its content never changes: there is no intention to withdraw.
            Object::Revision(_) => Ok(()),
        }
    }

    fn applied(&self, key: &Key, seen: &Observed, color: Color, written: &Seen<Deployment>) {
        self.memory.of(key, &seen.uid, |remembered| remembered.applied(color, &written.head.uid, written.body.generation));
    }

    async fn apply<T: Kind>(&self, watched: &Watched<T>, name: &Key, mut body: Value, guard: &Guard) -> Result<Seen<T>, Not> {
        let found = watched.shelf().get(name, Instant::now());
        if let Some(metadata) = body.get_mut("metadata") {
            guarded(metadata, guard, found.as_deref());
        }
        let answer = self.requests.apply::<T>(name, &body).await;
        self.settle(watched, name, answer, guard).await
    }

    async fn merge<T: Kind>(&self, watched: &Watched<T>, name: &Key, mut patch: Value, guard: &Guard) -> Result<Seen<T>, Not> {
        if let Guard::ResourceVersion(version) = guard {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        let answer = self.requests.merge::<T>(name, &patch).await;
        self.settle(watched, name, answer, guard).await
    }

    async fn settle<T: Kind>(&self, watched: &Watched<T>, name: &Key, answer: Answer<Seen<T>>, guard: &Guard) -> Result<Seen<T>, Not> {
        match answer {
            Ok(written) => {
                watched.shelf().stand_in(written.clone(), Instant::now());
                Ok(written)
            }
            Err(refused) => Err(self.not(watched, name, refused, guard).await),
        }
    }

    async fn not<T: Kind>(&self, watched: &Watched<T>, name: &Key, refused: Refused, guard: &Guard) -> Not {
        if !is_stale(&refused, guard) {
            return Not::Refused(refused);
        }
        self.live.refresh(watched, name).await;
        Not::Stale
    }

    async fn revision_data(&self, name: &Key) -> Result<Arc<Value>, Not> {
        if let Some(data) = self.kept(name) {
            return Ok(data);
        }
        match self.requests.get_whole::<Revision>(name).await {
            Ok(mut revision) => {
                let data = Arc::new(revision["data"].take());
                self.keep(name.clone(), data.clone());
                Ok(data)
            }
            Err(refused) if refused.is_absent() => {
                self.cache.revisions.shelf().gone(name, Instant::now());
                Err(Not::Stale)
            }
            Err(refused) => Err(Not::Refused(refused)),
        }
    }

    fn kept(&self, name: &Key) -> Option<Arc<Value>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|(is, _)| is == name).map(|(_, data)| data.clone())
    }

    fn keep(&self, name: Key, data: Arc<Value>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(is, _)| *is != name);
        recent.truncate(RECENT - 1);
        recent.push_front((name, data));
    }
}

/// A webhook may change what is sent: to send it again and again would change nothing.
fn changed(what: &str) -> Not {
    let message = format!("{what} was stored with other settings than were sent: a webhook changes them");
    Not::Refused(Refused { code: 422, reason: "Invalid".into(), message })
}

fn as_sent(seen: &Observed, role: Role, written: &Seen<Service>) -> Result<(), Not> {
    if service_seen(seen, role, written).settings_intact { Ok(()) } else { Err(changed("the Service")) }
}

/// An empty entry stands for none at all: a list without entries would be taken for one that was not sent.
fn without(leftovers: Leftovers, version: &str) -> [Value; 2] {
    let place = leftovers.place;
    let entry = if leftovers.alone {
        json!({"op": "replace", "path": "/metadata/managedFields", "value": [{}]})
    } else {
        json!({"op": "remove", "path": format!("/metadata/managedFields/{place}")})
    };
    [json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}), entry]
}

/// Why an effect was not carried out.
#[derive(Debug)]
enum Not {
    Stale,
    Refused(Refused),
}

/// An apply with a resourceVersion creates an object that is absent: the uid refuses that too.
fn guarded<T>(metadata: &mut Value, guard: &Guard, found: Option<&Seen<T>>) {
    match guard {
        Guard::Absent => metadata["resourceVersion"] = json!(NONE),
        Guard::ResourceVersion(version) => {
            metadata["resourceVersion"] = json!(version);
            if let Some(found) = found.filter(|found| *found.head.resource_version == **version) {
                metadata["uid"] = json!(found.head.uid);
            }
        }
        Guard::None => {}
    }
}

/// Whether a refusal says that the object isn't the one that was seen, rather than that the change is bad.
fn is_stale(refused: &Refused, guard: &Guard) -> bool {
    match refused.code {
        409 => true,
        404 => matches!(guard, Guard::ResourceVersion(_)),
        422 => refused.message.contains("metadata.uid"),
        _ => false,
    }
}

fn runs(live: &Value, hash: &str) -> bool {
    live["spec"]["template"]["metadata"]["labels"][names::REVISION_LABEL] == hash
}

/// A Deployment is this rollout's, whatever labels it has lost itself.
fn is_owned(live: &Value, seen: &Observed) -> bool {
    let owners = live["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == seen.uid.as_str()))
}

fn lost(deployment: &Key, how: &str) -> Not {
    let message = format!("it was deleted, and Deployment {}, the only copy of its template, {how}", deployment.name);
    Not::Refused(Refused { code: 404, reason: "NotFound".into(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;

    fn refused(code: u16, message: &str) -> Refused {
        Refused { code, reason: String::new(), message: message.into() }
    }

    #[test]
    fn what_refuses_the_object_is_told_from_what_refuses_the_change() {
        let seen = Guard::ResourceVersion("5".into());
        for (what, refused, guard, stale) in [
            ("changed meanwhile", refused(409, "the object has been modified"), &seen, true),
            ("there is one already", refused(409, "the object has been modified"), &Guard::Absent, true),
            ("gone", refused(404, "deployments.apps \"shop-blue\" not found"), &seen, true),
            ("no such namespace", refused(404, "namespaces \"a\" not found"), &Guard::Absent, false),
            ("another of that name", refused(422, "metadata.uid: Invalid value: \"x\": field is immutable"), &seen, true),
            ("bad value", refused(422, "spec.template.spec.containers[0].name: Invalid value"), &seen, false),
            ("unknown field", refused(500, "failed to create typed patch object"), &seen, false),
            ("quota", refused(403, "exceeded quota"), &seen, false),
            ("no answer", refused(0, "no answer"), &seen, false),
        ] {
            assert_eq!(is_stale(&refused, guard), stale, "{what}");
        }
    }

    #[test]
    fn only_the_entry_of_earlier_applies_is_taken_out() {
        let entry = |alone: bool| without(Leftovers { place: 2, alone }, "5")[1].clone();
        assert_eq!(entry(false), json!({"op": "remove", "path": "/metadata/managedFields/2"}));
        assert_eq!(entry(true), json!({"op": "replace", "path": "/metadata/managedFields", "value": [{}]}));
        let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "5"});
        assert_eq!(without(Leftovers { place: 2, alone: false }, "5")[0], guard);
    }

    #[test]
    fn an_apply_is_guarded_by_version_and_uid() {
        let found: Seen<Deployment> =
            arrive(json!({"metadata": {"name": "d", "uid": "u", "resourceVersion": "5"}, "spec": {"template": {}}}));
        let guarded = |guard: Guard| {
            let mut metadata = json!({"name": "d"});
            super::guarded(&mut metadata, &guard, Some(&found));
            metadata
        };
        assert_eq!(guarded(Guard::Absent), json!({"name": "d", "resourceVersion": "1"}));
        assert_eq!(guarded(Guard::ResourceVersion("5".into())), json!({"name": "d", "resourceVersion": "5", "uid": "u"}));
        assert_eq!(
            guarded(Guard::ResourceVersion("4".into())),
            json!({"name": "d", "resourceVersion": "4"}),
            "the uid of another version is none"
        );
        assert_eq!(guarded(Guard::None), json!({"name": "d"}));
    }
}
