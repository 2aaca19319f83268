//! Everything that happened in a namespace, as its watches show it.

use crate::patience;
use bluegreen_witness::{Event, Journal, Kind};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// The events so far, and the watches that bring more.
pub struct Record {
    client: Client,
    namespace: String,
    log: Arc<Log>,
    /// Ended when the record is dropped.
    _watches: JoinSet<()>,
}

struct Log {
    journal: Mutex<Journal>,
    length: watch::Sender<usize>,
}

impl Log {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    /// Events of one kind, whose watch has then shown all until this version.
    fn add(&self, kind: Kind, events: Vec<Event>, complete: u64) {
        let mut journal = self.journal();
        journal.add(kind, events, complete);
        self.length.send_replace(journal.length());
    }
}

impl Record {
    /// Watches a namespace that is still empty of what is watched.
    pub async fn begin(client: Client, namespace: &str) -> Self {
        let log = Arc::new(Log { journal: Mutex::default(), length: watch::Sender::new(0) });
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let api = Api::namespaced_with(client.clone(), namespace, &resource(kind));
            let from = version_now(&api).await;
            log.journal().begin(kind, from);
            watches.spawn(follow(api, kind, from, log.clone()));
        }
        Self { client, namespace: namespace.to_owned(), log, _watches: watches }
    }

    /// The latest version of an object, if it is there.
    pub fn latest(&self, kind: Kind, name: &str) -> Option<Value> {
        let journal = self.log.journal();
        let (_, latest) = journal.latest(kind, name)?;
        (!latest.deleted).then(|| Value::clone(&latest.object))
    }

    /// All objects of a kind that are there, in the order of their names.
    pub fn all(&self, kind: Kind) -> Vec<Arc<Value>> {
        self.log.journal().all(kind).into_values().collect()
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.log.journal().length()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events since there were so many, as far as they are not forgotten.
    pub fn since(&self, count: usize) -> Vec<Event> {
        self.log.journal().since(count).cloned().collect()
    }

    /// Finds something in the state of an object now, in any since there were so many events, or in any that comes: none is passed
    /// over. Returns also how many events there were before it. The error is the time that was waited in vain.
    pub async fn until<T>(&self, kind: Kind, name: &str, since: usize, find: impl Fn(&Event) -> Option<T>) -> Result<(usize, T), Duration> {
        let (latest, length) = {
            let journal = self.log.journal();
            (journal.latest(kind, name).cloned(), journal.length())
        };
        if let Some((at, found)) = latest.and_then(|(at, event)| Some((at, find(&event)?))) {
            return Ok((at, found));
        }
        self.until_after(since.min(length), kind, name, find).await
    }

    /// The same, but only in states since there were `mark` events. The first of them is found.
    pub async fn until_after<T>(
        &self,
        mark: usize,
        kind: Kind,
        name: &str,
        find: impl Fn(&Event) -> Option<T>,
    ) -> Result<(usize, T), Duration> {
        let mut length = self.log.length.subscribe();
        let mut next = mark;
        let found = async {
            loop {
                let news: Vec<_> = {
                    let journal = self.log.journal();
                    // Some may be forgotten.
                    let first = journal.length() - journal.since(next).count();
                    let of_it = |(_, event): &(usize, &Event)| event.kind == kind && event.name == name;
                    let news = (first..).zip(journal.since(next)).filter(of_it).map(|(at, event)| (at, event.clone())).collect();
                    next = journal.length().max(next);
                    news
                };
                if let Some(found) = news.iter().find_map(|(at, event)| Some((*at, find(event)?))) {
                    return found;
                }
                length.changed().await.unwrap();
            }
        };
        patience::within(found).await
    }

    /// Waits until the watches have shown all that has happened until now.
    pub async fn catch_up(&self) {
        for kind in Kind::ALL {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind));
            for object in api.list(&ListParams::default()).await.unwrap() {
                let (name, version) = (object.metadata.name.unwrap_or_default(), number(object.metadata.resource_version.as_deref()));
                let shown = self.until(kind, &name, usize::MAX, |event| (event.version >= version).then_some(()));
                shown.await.unwrap_or_else(|waited| panic!("the watch of {} did not show {name} within {waited:?}", kind.as_str()));
            }
        }
    }

    /// The operators learn late of what happens, and their requests come late: by so much.
    pub fn allow_lag(&self, lag: Duration) {
        self.log.journal().allow_lag(lag.try_into().unwrap());
    }

    /// Judges what has happened so far and forgets most of it, for a test that lasts long. The promises that were broken.
    pub fn judge_and_forget(&self) -> Vec<String> {
        let mut journal = self.log.journal();
        let broken = journal.judge().to_vec();
        journal.forget();
        broken
    }

    /// How many versions there were, and how many of them came while not every change was seen.
    pub fn blindness(&self) -> (u64, u64) {
        self.log.journal().blindness()
    }

    /// The promises that were broken, each in a sentence.
    pub fn broken(&self) -> Vec<String> {
        self.log.journal().broken()
    }
}

/// How the API server names a kind.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let (group, version) = match kind {
        Kind::Rollout => ("bluegreen.dev", "v1alpha1"),
        Kind::Deployment | Kind::Revision => ("apps", "v1"),
        Kind::Service | Kind::Pod => ("", "v1"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.as_str()))
}

async fn version_now(api: &Api<DynamicObject>) -> u64 {
    number(api.list_metadata(&ListParams::default()).await.unwrap().metadata.resource_version.as_deref())
}

/// Adds every event from a version on.
async fn follow(api: Api<DynamicObject>, kind: Kind, mut from: u64, log: Arc<Log>) {
    loop {
        let params = WatchParams::default().timeout(280);
        let Ok(stream) = api.watch(&params, &from.to_string()).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = stream.boxed();
        while let Ok(Some(event)) = stream.try_next().await {
            let (object, deleted) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    from = number(Some(&bookmark.metadata.resource_version));
                    log.add(kind, Vec::new(), from);
                    continue;
                }
                WatchEvent::Error(_) => {
                    // The API server was started anew and has forgotten what came before.
                    from = look_again(&api, kind, from, &log).await;
                    break;
                }
            };
            from = version(&object);
            log.add(kind, vec![event_of(kind, object, deleted)], from);
        }
    }
}

/// The version of an object; 0 if it has none.
pub(crate) fn version(object: &DynamicObject) -> u64 {
    number(object.metadata.resource_version.as_deref())
}

fn event_of(kind: Kind, object: DynamicObject, deleted: bool) -> Event {
    let name = object.metadata.name.clone().unwrap_or_default();
    let version = version(&object);
    Event { kind, name, version, deleted, object: Arc::new(serde_json::to_value(object).unwrap()), seen: Timestamp::now(), known: None }
}

/// Adds what has changed since a version, and returns the version from which to go on.
async fn look_again(api: &Api<DynamicObject>, kind: Kind, since: u64, log: &Log) -> u64 {
    let list = loop {
        match api.list(&ListParams::default()).await {
            Ok(list) => break list,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let now = number(list.metadata.resource_version.as_deref());
    let mut gone = {
        let mut journal = log.journal();
        journal.missed(since..now + 1);
        journal.all(kind)
    };
    let mut news = Vec::new();
    for object in list {
        gone.remove(object.metadata.name.as_deref().unwrap_or_default());
        if version(&object) > since {
            news.push(event_of(kind, object, false));
        }
    }
    let seen = Timestamp::now();
    news.extend(gone.into_iter().map(|(name, object)| Event { kind, name, version: now, deleted: true, object, seen, known: None }));
    log.add(kind, news, now);
    now
}

fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}
