//! Watch caches of all the objects that decisions are made from.

use crate::{
    clock,
    key::Key,
    kinds::{Arriving, Deployment, EndpointSlice, Haste, Kind, Pod, Revision, Rollout, Service},
    queue::Queue,
    shelf::{Shelf, Unreadable},
    watches::{self, LONGEST_PAUSE, Pause},
};
use bluegreen_api::names;
use bluegreen_engine::observed::{Late, ObjectKind, Unread};
use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    runtime::watcher::{self, Event, watcher},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

const EXPIRE: Duration = Duration::from_secs(5);

/// All shelves. Each is locked for moments only, and never while another one is.
#[derive(Default)]
pub struct Cache {
    pub rollouts: Watched<Rollout>,
    pub deployments: Watched<Deployment>,
    pub services: Watched<Service>,
    pub pods: Watched<Pod>,
    pub slices: Watched<EndpointSlice>,
    pub revisions: Watched<Revision>,
    /// One more is full.
    filled: Notify,
}

/// A shelf and the state of the watch that fills it.
pub struct Watched<T> {
    shelf: Mutex<Shelf<T>>,
    terms: Terms,
    /// While the watch is down.
    down: Mutex<Option<Down>>,
    /// When it last brought something.
    heard: Mutex<Option<Instant>>,
}

/// A watch that is down.
#[derive(Clone, Debug)]
pub struct Down {
    /// The latest error.
    pub why: String,
    pub since: Timestamp,
}

/// The terms of leadership in which a kind is to be listed whole, and was. A watch without news for minutes may have lost its
/// connection: a new leader must not act on an old state.
struct Terms {
    /// Before this process leads, a term that no leader has.
    wanted: AtomicI64,
    /// The term that was wanted when the latest complete list began.
    listed: AtomicI64,
    /// Each shelf has its own, so that all are woken in the same order each time.
    news: Notify,
}

impl Terms {
    /// Of a list that is complete, before any term of this process.
    const BEFORE: i64 = -1;
    const NEVER: i64 = i64::MIN;

    fn want(&self, term: i64) {
        self.wanted.store(term, Ordering::Release);
        self.news.notify_one();
    }

    fn wanted(&self) -> i64 {
        self.wanted.load(Ordering::Acquire)
    }

    fn listed(&self) -> i64 {
        self.listed.load(Ordering::Acquire)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self { wanted: AtomicI64::new(Self::BEFORE), listed: AtomicI64::new(Self::NEVER), news: Notify::new() }
    }
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self { shelf: Mutex::default(), terms: Terms::default(), down: Mutex::default(), heard: Mutex::default() }
    }
}

impl<T> Watched<T> {
    pub fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list has been complete.
    pub fn is_full(&self) -> bool {
        self.terms.listed() != Terms::NEVER
    }

    /// It was listed whole since this term began.
    pub fn is_of_term(&self, term: i64) -> bool {
        self.terms.listed() >= term
    }

    pub fn down(&self) -> MutexGuard<'_, Option<Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch has brought something within this time: it is at work.
    pub fn was_heard_within(&self, time: Duration) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|heard| heard.elapsed() < time)
    }

    /// Returns whether the trouble is new: it is logged once, not once per try.
    fn went_down(&self, why: String, now: Timestamp) -> bool {
        let mut down = self.down();
        let since = down.as_ref().map_or(now, |down| down.since);
        down.replace(Down { why, since }).is_none()
    }
}

impl AsRef<Watched<Deployment>> for Cache {
    fn as_ref(&self) -> &Watched<Deployment> {
        &self.deployments
    }
}

impl AsRef<Watched<Service>> for Cache {
    fn as_ref(&self) -> &Watched<Service> {
        &self.services
    }
}

impl Cache {
    /// Starts the watches. Whatever concerns a rollout puts it into the queue.
    pub fn watch(self: &Arc<Self>, client: &Client, namespace: Option<&str>, queue: &Arc<Queue>, tasks: &mut JoinSet<()>) {
        fn start<T: Kind>(
            cache: &Arc<Cache>,
            shelf: fn(&Cache) -> &Watched<T>,
            (client, namespace, label): (&Client, Option<&str>, Option<&str>),
            queue: &Arc<Queue>,
            tasks: &mut JoinSet<()>,
        ) {
            let api = match namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            let config = watcher::Config { label_selector: label.map(str::to_owned), ..watches::config() };
            let (cache, queue) = (cache.clone(), queue.clone());
            tasks.spawn(async move { follow(api, config, shelf(&cache), |news| cache.hear(news, &queue)).await });
        }
        let owned = (client, namespace, Some(names::ROLLOUT_LABEL));
        tasks.spawn(expire(self.clone(), queue.clone()));
        start(self, |cache| &cache.rollouts, (client, namespace, None), queue, tasks);
        start(self, |cache| &cache.deployments, owned, queue, tasks);
        start(self, |cache| &cache.services, owned, queue, tasks);
        start(self, |cache| &cache.pods, owned, queue, tasks);
        start(self, |cache| &cache.slices, owned, queue, tasks);
        start(self, |cache| &cache.revisions, owned, queue, tasks);
    }

    fn hear(&self, news: News, queue: &Queue) {
        match news {
            News::Changed { rollouts, haste } => queue.add_all_in(haste, rollouts),
            News::Listed { again } => {
                self.filled.notify_one();
                if again {
                    // Whatever was held for it goes on.
                    queue.add_all(self.all());
                }
            }
        }
    }

    /// The caches that are not yet filled, or not new enough, for the first decision, in words.
    pub fn missing(&self) -> Vec<String> {
        fn one<T: Kind>(watched: &Watched<T>) -> Option<String> {
            let down = watched.down().clone();
            let why = down.as_ref().map_or("listing", |down| down.why.as_str());
            let unfit = match (watched.is_full(), watched.is_of_term(watched.terms.wanted())) {
                (false, _) => "is not filled yet",
                (_, false) => "must be listed again before this process leads",
                (true, true) => return None,
            };
            Some(format!("the cache of {} {unfit}: {why}", T::KIND.as_str()))
        }
        let all =
            [one(&self.rollouts), one(&self.deployments), one(&self.services), one(&self.pods), one(&self.slices), one(&self.revisions)];
        all.into_iter().flatten().collect()
    }

    /// Returns when nothing is missing.
    pub async fn filled(&self) {
        loop {
            let news = self.filled.notified();
            if self.missing().is_empty() {
                return;
            }
            news.await;
        }
    }

    /// Lists everything again in this term, and returns when that is done.
    pub async fn renew(&self, term: i64) {
        let Self { rollouts, deployments, services, pods, slices, revisions, .. } = self;
        let all = [&rollouts.terms, &deployments.terms, &services.terms, &pods.terms, &slices.terms, &revisions.terms];
        all.into_iter().for_each(|terms| terms.want(term));
        self.filled().await;
    }

    /// The kinds whose watches are down.
    pub fn late(&self) -> Vec<Late> {
        fn one<T: Kind>(watched: &Watched<T>) -> Option<Late> {
            let Down { why, since } = watched.down().clone()?;
            Some(Late { kind: T::KIND, why, since })
        }
        let all =
            [one(&self.rollouts), one(&self.deployments), one(&self.services), one(&self.pods), one(&self.slices), one(&self.revisions)];
        all.into_iter().flatten().collect()
    }

    /// The objects of a rollout that are there and can't be read, by its label or the names of its Deployments and Services.
    pub fn unread(&self, rollout: &Key, deployments: &[String], services: &[String]) -> Vec<Unread> {
        fn of<T: Kind>(watched: &Watched<T>, rollout: &Key, names: &[String]) -> Vec<Unread> {
            let one = |known: &Unreadable| Unread {
                kind: T::KIND,
                name: known.unread.head.name.to_string(),
                why: known.unread.why.to_string(),
                since: known.since,
            };
            watched.shelf().unread_of(rollout, names).into_iter().map(one).collect()
        }
        let mut all = of(&self.deployments, rollout, deployments);
        all.extend(of(&self.services, rollout, services));
        all.extend(of(&self.pods, rollout, &[]));
        all.extend(of(&self.slices, rollout, &[]));
        all.extend(of(&self.revisions, rollout, &[]));
        all
    }

    /// How many objects of each kind can't be read.
    pub fn count_unread(&self) -> [(ObjectKind, usize); 6] {
        fn one<T: Kind>(watched: &Watched<T>) -> (ObjectKind, usize) {
            (T::KIND, watched.shelf().count_unread())
        }
        [one(&self.rollouts), one(&self.deployments), one(&self.services), one(&self.pods), one(&self.slices), one(&self.revisions)]
    }

    /// Every rollout that there is, in the order of their names.
    pub fn all(&self) -> Vec<Key> {
        self.rollouts.shelf().keys()
    }
}

/// Looks again at what changes because time has passed: an object no longer stands in for a cached one.
async fn expire(cache: Arc<Cache>, queue: Arc<Queue>) {
    loop {
        tokio::time::sleep(EXPIRE).await;
        let now = Instant::now();
        queue.add_all(cache.rollouts.shelf().expired(now));
        queue.add_all(cache.deployments.shelf().expired(now));
        queue.add_all(cache.services.shelf().expired(now));
        queue.add_all(cache.revisions.shelf().expired(now));
    }
}

/// News of a watch.
pub enum News {
    /// Objects of these rollouts have changed.
    Changed { rollouts: Vec<Key>, haste: Haste },
    /// Nothing is missing now; `again`: after the watch was down.
    Listed { again: bool },
}

/// Keeps one shelf as the API server has it. After an error, and with each renewal, it lists anew: only the end of a list tells that
/// nothing is missing.
pub async fn follow<T: Kind>(api: Api<Arriving<T>>, config: watcher::Config, watched: &Watched<T>, tell: impl Fn(News)) {
    let mut pause = Pause::default();
    'anew: loop {
        let term = watched.terms.wanted();
        let mut events = std::pin::pin!(watcher(api.clone(), config.clone()));
        let mut listed_at = None;
        loop {
            let event = tokio::select! {
                biased;
                () = watched.terms.news.notified() => continue 'anew,
                event = events.next() => event,
            };
            let Some(event) = event else { break };
            match event {
                Ok(event) => {
                    watched.heard.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now());
                    let listed = matches!(event, Event::InitDone);
                    tell(concerned(watched, event));
                    if listed {
                        listed_at = Some(Instant::now());
                        watched.terms.listed.store(term, Ordering::Release);
                        tell(News::Listed { again: watched.down().take().is_some() });
                    }
                }
                Err(error) => {
                    let why = words::<T>(&error);
                    if watched.went_down(why.clone(), clock::now()) {
                        tracing::warn!(kind = T::KIND.as_str(), error = %why, "the watch failed; retrying");
                    }
                    break;
                }
            }
        }
        if listed_at.is_some_and(|listed_at: Instant| listed_at.elapsed() > LONGEST_PAUSE) {
            pause = Pause::default();
        }
        pause.rest().await;
    }
}

/// The cause of a failed watch, for people.
fn words<T: Kind>(error: &watcher::Error) -> String {
    use watcher::Error;
    let (Error::InitialListFailed(cause) | Error::WatchStartFailed(cause) | Error::WatchFailed(cause)) = error else {
        return error.to_string();
    };
    match cause {
        kube::Error::Api(status) if status.code == 404 => {
            format!("the API server doesn't know {}: is its CustomResourceDefinition installed?", T::Of::plural(&()))
        }
        kube::Error::Api(status) if status.code == 403 => T::forbidden(&status.message),
        kube::Error::Api(status) => status.message.clone(),
        cause => cause.to_string(),
    }
}

fn concerned<T: Kind>(watched: &Watched<T>, event: Event<Arriving<T>>) -> News {
    let (mut shelf, now) = (watched.shelf(), Instant::now());
    let (rollouts, haste) = match event {
        Event::Init => {
            shelf.list_begins();
            (vec![], Haste::Soon)
        }
        Event::InitApply(object) | Event::Apply(object) => match object.read {
            Ok(seen) => {
                let haste = shelf.haste(&seen.head, Some(&seen.body), now);
                (shelf.arrived(seen), haste)
            }
            Err(unread) => {
                let (namespace, name, why) = (unread.head.namespace.clone(), unread.head.name.clone(), unread.why.clone());
                let concerned = shelf.arrived_unread(unread, clock::now());
                if !concerned.is_empty() {
                    tracing::warn!(kind = T::KIND.as_str(), %namespace, %name, %why, "an object can't be read; what belongs to it is held");
                }
                (concerned, Haste::InTurn)
            }
        },
        Event::Delete(object) => {
            let haste = shelf.haste(object.head(), None, now);
            (shelf.departed(object.head()), haste)
        }
        Event::InitDone => (shelf.list_ends(), Haste::InTurn),
    };
    News::Changed { rollouts, haste }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn who_begins_to_lead_waits_for_what_is_to_be_listed_anew() {
        let cache = Cache::default();
        let Cache { rollouts, deployments, services, pods, slices, revisions, .. } = &cache;
        for terms in [&rollouts.terms, &deployments.terms, &services.terms, &pods.terms, &slices.terms, &revisions.terms] {
            terms.listed.store(Terms::BEFORE, Ordering::Release);
        }
        assert_eq!(cache.filled().now_or_never(), Some(()));
        assert_eq!(cache.renew(0).now_or_never(), None);
        assert_eq!(cache.missing().len(), 6);
        pods.went_down("the API server is busy".into(), Timestamp::UNIX_EPOCH);
        let told = "the cache of pods must be listed again before this process leads: the API server is busy";
        assert!(cache.missing().contains(&told.to_owned()), "{:?}", cache.missing());
    }
}
