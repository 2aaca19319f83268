//! Everything that a look at a rollout needs, and the world as the loop sees it for one rollout.

use crate::{
    announce::Announcer,
    asking::Asking,
    by_name::ByName,
    cache::Cache,
    gather::{Gatherer, Leading},
    key::Key,
    kinds::{Rollout, Seen, Unread},
    lease::Leadership,
    measure::Measuring,
    memory::Memory,
    metrics::Metrics,
    perform::{Performed, Performer},
    queue::Queue,
    reconcile::{Sight, Trouble, World},
    shelf::Look,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, names};
use bluegreen_engine::{
    Effect, Observed, another_version_to_tell,
    decision::{Object, Role},
    events::{self, Announcement},
    makes_an_armed_switch, measure,
    observed::{Owner, services},
    refusal_to_tell, without_a_fence,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

pub struct Shell {
    pub cache: Arc<Cache>,
    pub memory: Arc<Memory>,
    pub gatherer: Gatherer,
    pub asking: Asking,
    pub performer: Performer,
    pub measuring: Arc<Measuring>,
    pub by_name: ByName,
    pub announcer: Announcer,
    pub metrics: Metrics,
    pub queue: Arc<Queue>,
    pub leadership: watch::Receiver<Leadership>,
}

impl Shell {
    pub fn leading(&self) -> Result<Leading, Trouble> {
        let leadership = *self.leadership.borrow();
        match leadership {
            Leadership::Leading { absence, .. } => {
                let term = leadership.term(Instant::now()).ok_or(Trouble::NotLeading)?;
                Ok(Leading { term, absence })
            }
            Leadership::Standby | Leadership::Lost => Err(Trouble::NotLeading),
        }
    }

    /// Nothing is kept of a rollout that is gone.
    pub fn forget(&self, key: &Key) {
        self.measuring.forget(key);
        self.by_name.forget(key);
        self.memory.forget(key);
        self.asking.forget(key);
    }
}

/// One rollout, looked at by the loop.
pub struct OneRollout<'a> {
    shell: &'a Shell,
    key: &'a Key,
    /// As it was seen by the latest look.
    rollout: Option<Arc<Seen<Rollout>>>,
}

impl<'a> OneRollout<'a> {
    pub fn new(shell: &'a Shell, key: &'a Key) -> Self {
        Self { shell, key, rollout: None }
    }

    /// The rollout, no older than anything that is known of it. All rollouts were listed since this process began to lead, so that it is
    /// no older than what a former leader recorded.
    async fn rollout(&self) -> Result<Option<Arc<Seen<Rollout>>>, Trouble> {
        let look = self.shell.cache.rollouts.shelf().look(self.key, Instant::now());
        match look {
            Look::Nothing => Ok(None),
            Look::Object(seen) => Ok(Some(seen)),
            Look::Overdue => self.read().await,
        }
    }

    /// The rollout, read live.
    async fn read(&self) -> Result<Option<Arc<Seen<Rollout>>>, Trouble> {
        let Shell { cache, performer, .. } = self.shell;
        let unread = |refused| Trouble::Api { what: "reading the rollout failed", refused };
        performer.live.read(&cache.rollouts, self.key).await.map_err(unread)?;
        Ok(cache.rollouts.shelf().get(self.key, Instant::now()))
    }

    fn deployment(&self, color: Color) -> Key {
        self.key.beside(names::deployment(&self.key.name, color))
    }

    fn service(&self, seen: &Observed, role: Role) -> Key {
        self.key.beside(services::service_name(seen, role))
    }

    /// Reads live what watches are late to tell of. Whether there was such a thing.
    async fn catch_up(&self, seen: &Observed) -> Result<bool, Trouble> {
        let Shell { cache, performer, .. } = self.shell;
        let unread = |refused| Trouble::Api { what: "reading objects that a late watch has not shown failed", refused };
        let mut late = false;
        for color in [Color::Blue, Color::Green] {
            late |= performer.live.catch_up(&cache.deployments, &self.deployment(color)).await.map_err(unread)?;
        }
        for role in Role::ALL {
            late |= performer.live.catch_up(&cache.services, &self.service(seen, role)).await.map_err(unread)?;
        }
        Ok(late)
    }

    /// Objects of ours that have lost their label are invisible to the caches.
    fn follow_by_name(&self, seen: &Observed) {
        let Shell { cache, by_name, .. } = self.shell;
        let now = Instant::now();
        for color in [Color::Blue, Color::Green] {
            let name = self.deployment(color);
            let found = cache.deployments.shelf().get(&name, now);
            by_name.follow(self.key, &name, found.as_deref(), cache);
        }
        for role in Role::ALL {
            let name = self.service(seen, role);
            let found = cache.services.shelf().get(&name, now);
            by_name.follow(self.key, &name, found.as_deref(), cache);
        }
    }

    /// Looks for what has one of the rollout's names and none of its labels: it is invisible to the caches. Once in a term, for a side
    /// that leaves would be taken for gone, and keep its pods; and for as long as there is no status.
    async fn survey(&self, seen: &Observed) -> Result<(), Trouble> {
        let Shell { cache, memory, performer, .. } = self.shell;
        let unread = |refused| Trouble::Api { what: "reading the objects with the rollout's names failed", refused };
        for color in [Color::Blue, Color::Green] {
            if seen.color(color).deployment.as_ref().is_none() {
                performer.live.read(&cache.deployments, &self.deployment(color)).await.map_err(unread)?;
            }
        }
        for role in Role::ALL {
            if seen.service(role).is_none() {
                performer.live.read(&cache.services, &self.service(seen, role)).await.map_err(unread)?;
            }
        }
        memory.of(self.key, &seen.uid, |remembered| remembered.surveyed_in = Some(seen.term));
        Ok(())
    }

    /// Whether the rollout is there and stays, read live. Who deletes it and keeps what it owns takes the owner from that after the
    /// deletion has begun, but the caches may tell it the other way round: what was taken back then would be deleted with it.
    async fn is_there(&self, seen: &Observed) -> Result<bool, Trouble> {
        let found = self.read().await?;
        Ok(found.is_some_and(|found| *found.head.uid == *seen.uid && !found.body.deleting))
    }

    /// Whether this was not the latest that was told of what stands in the object and can't be understood.
    fn is_new(&self, uid: &str, why: &str) -> bool {
        let told = self.shell.memory.of(self.key, uid, |remembered| remembered.unreadable.replace(why.into()));
        told.as_deref() != Some(why)
    }

    /// Once in a term.
    fn tell_of_another_version(&self, seen: &Observed) {
        let Some(announcement) = another_version_to_tell(seen).filter(|told| self.is_new(&seen.uid, &told.key)) else { return };
        tracing::warn!(rollout = %self.key, why = announcement.note, "the rollout is on hold");
        self.shell.announcer.announce(self.key, &seen.uid, announcement);
    }

    /// Whether the rollout is still the one that was seen. Its watch says so where it was heard of late; else it is read live: a watch that
    /// has stopped without a word must not hide a pause or an order from a switch that was decided before.
    async fn is_as_seen(&self) -> Result<bool, Trouble> {
        if self.shell.cache.rollouts.was_heard_within(HEARD_OF_LATE) {
            return Ok(true);
        }
        let found = self.read().await?;
        Ok(found.zip(self.rollout.as_ref()).is_some_and(|(found, seen)| found.head.resource_version == seen.head.resource_version))
    }

    /// Once for each reason.
    fn complain(&self, uid: &str, why: &str) {
        if !self.is_new(uid, why) {
            return;
        }
        tracing::warn!(rollout = %self.key, why, "the rollout can't be parsed and is ignored until it changes");
        let announcement = Announcement {
            type_: "Warning",
            reason: "Unreadable".to_owned(),
            action: "Read".to_owned(),
            note: format!("The operator ignores this rollout until it changes, since it can't be parsed: {why}"),
            key: format!("unreadable-{why}"),
        };
        self.shell.announcer.announce(self.key, uid, announcement);
    }

    /// Told once: what was sent is believed from here on.
    fn incomplete(&self, uid: &str, field: &str) {
        tracing::warn!(rollout = %self.key, field, "the API server did not keep the whole status: install the CustomResourceDefinition of this version");
        let announcement = Announcement {
            type_: "Warning",
            reason: "StatusIncomplete".to_owned(),
            action: "Record".to_owned(),
            note: format!(
                "The API server did not keep {field}: the installed CustomResourceDefinition is of another version than the operator. Install the one of its version"
            ),
            key: format!("incomplete-{field}"),
        };
        self.shell.announcer.announce(self.key, uid, announcement);
    }

    fn recorded(&self, seen: &Observed, status: &BlueGreenRolloutStatus) {
        let Shell { memory, metrics, announcer, .. } = self.shell;
        memory.of(self.key, &seen.uid, |remembered| remembered.drop_results(&seen.results));
        metrics.recorded(&seen.status, status);
        let warnings = events::warnings(seen, status).into_iter().chain(without_a_fence(seen, status));
        for announcement in events::between(&seen.status, status).into_iter().chain(warnings) {
            announcer.announce(self.key, &seen.uid, announcement);
        }
        if seen.status.phase != status.phase || seen.status.attempt != status.attempt {
            let word = |phase: Option<bluegreen_api::Phase>| phase.map_or("-", bluegreen_api::Phase::as_str);
            let revision = status.current.as_ref().or(status.history.first()).map_or("", |attempt| attempt.revision.as_str());
            tracing::info!(
                rollout = %self.key, from = word(seen.status.phase), to = word(status.phase),
                attempt = status.attempt, revision, message = %status.message,
            );
        }
    }
}

/// A watch that has brought something in this time is at work.
const HEARD_OF_LATE: Duration = Duration::from_secs(2);

/// Whether an effect makes an object ours that has lost its owner.
fn takes_an_orphan(seen: &Observed, effect: &Effect) -> bool {
    let owner = match effect.object() {
        Object::Deployment(color) => seen.color(color).deployment.as_ref().map(|found| &found.owner),
        Object::Service(role) => seen.service(role).map(|found| &found.owner),
        Object::Revision(hash) => seen.revisions.iter().find(|found| found.hash == hash).map(|found| &found.owner),
    };
    owner == Some(&Owner::Orphan)
}

impl World for OneRollout<'_> {
    async fn look(&mut self) -> Result<Sight, Trouble> {
        let leading = self.shell.leading()?;
        self.rollout = self.rollout().await?;
        let unread = self.shell.cache.rollouts.shelf().unread(self.key).map(|known| known.unread.clone());
        if let Some(Unread { head, why }) = unread {
            self.complain(&head.uid, &why);
            return Ok(Sight::Unreadable);
        }
        let Some(rollout) = &self.rollout else { return Ok(Sight::Gone) };
        let terms = match self.shell.asking.of(self.key, rollout) {
            Ok(terms) => terms,
            Err(why) => {
                self.complain(&rollout.head.uid, &why);
                return Ok(Sight::Unreadable);
            }
        };
        let surveyed_in = self.shell.memory.of(self.key, &rollout.head.uid, |remembered| remembered.surveyed_in);
        // A lost status is rebuilt from what is there: what has lost its label since must not be missing.
        if surveyed_in != Some(leading.term) || terms.status.phase.is_none() {
            self.survey(&self.shell.gatherer.observe(self.key, rollout, &terms, leading)).await?;
        }
        let mut seen = self.shell.gatherer.observe(self.key, rollout, &terms, leading);
        // While one thing is read, another may have stood in for long enough.
        for _ in 0..3 {
            if !self.catch_up(&seen).await? {
                break;
            }
            seen = self.shell.gatherer.observe(self.key, rollout, &terms, leading);
        }
        self.follow_by_name(&seen);
        self.tell_of_another_version(&seen);
        Ok(Sight::Seen(Box::new(seen)))
    }

    async fn record(&mut self, seen: &Observed, status: &BlueGreenRolloutStatus) -> Result<(), Trouble> {
        self.shell.leading()?;
        let Some(rollout) = &self.rollout else { return Err(Trouble::Stale) };
        let Shell { cache, performer, .. } = self.shell;
        match performer.requests.record(self.key, &rollout.head.resource_version, status).await {
            Ok(written) => {
                if let Some(field) = self.shell.asking.answered(self.key, &written, status) {
                    self.incomplete(&seen.uid, &field);
                }
                cache.rollouts.shelf().stand_in(written, Instant::now());
                self.recorded(seen, status);
                Ok(())
            }
            Err(refused) if matches!(refused.code, 404 | 409) => {
                performer.live.refresh(&cache.rollouts, self.key).await;
                Err(Trouble::Stale)
            }
            Err(refused) => Err(Trouble::Api { what: "recording the status failed", refused }),
        }
    }

    async fn perform(&mut self, seen: &Observed, effect: &Effect) -> Result<Performed, Trouble> {
        self.shell.leading()?;
        if takes_an_orphan(seen, effect) && !self.is_there(seen).await? {
            return Ok(Performed::Stale);
        }
        if makes_an_armed_switch(seen, effect) && !self.is_as_seen().await? {
            return Ok(Performed::Stale);
        }
        let Shell { performer, memory, announcer, .. } = self.shell;
        let performed = performer.perform(self.key, seen, effect).await;
        if performed == Performed::Refused {
            let refusal = memory.of(self.key, &seen.uid, |remembered| remembered.refusals.iter().find(|it| it.is_of(effect)).cloned());
            if let Some(event) = refusal.and_then(|refusal| refusal_to_tell(seen, &refusal)) {
                announcer.announce(self.key, &seen.uid, event);
            }
        }
        Ok(performed)
    }

    fn measure(&mut self, seen: &Observed) {
        self.shell.measuring.set(self.key, seen, measure::wanted(seen));
        self.shell.measuring.read_events(self.key, &seen.uid, measure::puzzling_pods(seen));
    }
}
