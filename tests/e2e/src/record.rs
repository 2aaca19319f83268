//! Everything that happened in a namespace, as its watches tell it.

use super::{Event, Kind, told::Told};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// How long a test waits for what it expects. Controllers of Kubernetes ask an API server that was away again after up to a minute:
/// they double their pauses up to 30 s, and add as much again at random.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The events so far, and the watches that bring more.
pub struct Record {
    client: Client,
    namespace: String,
    log: Arc<Log>,
    /// Ended when the record is dropped.
    _watches: JoinSet<()>,
}

struct Log {
    told: Mutex<Told>,
    length: watch::Sender<usize>,
}

impl Log {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Events of one kind, which is then told until this version.
    fn add(&self, kind: Kind, events: Vec<Event>, complete: u64) {
        let mut told = self.told();
        for event in events {
            told.add(event);
        }
        told.complete.insert(kind, complete);
        self.length.send_replace(told.length());
    }
}

impl Record {
    /// Watches a namespace that is still empty of what is watched.
    pub async fn begin(client: Client, namespace: &str) -> Self {
        let log = Arc::new(Log { told: Mutex::default(), length: watch::Sender::new(0) });
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let api = Api::namespaced_with(client.clone(), namespace, &kind.resource());
            let from = version_now(&api).await;
            log.told().first = from;
            watches.spawn(follow(api, kind, from, log.clone()));
        }
        Self { client, namespace: namespace.to_owned(), log, _watches: watches }
    }

    /// The latest version of an object, if it is there.
    pub fn latest(&self, kind: Kind, name: &str) -> Option<Value> {
        let told = self.log.told();
        let (_, latest) = told.latest.get(&(kind, name.to_owned()))?;
        (!latest.deleted).then(|| Value::clone(&latest.object))
    }

    /// All objects of a kind that are there, in the order of their names.
    pub fn all(&self, kind: Kind) -> Vec<Arc<Value>> {
        let told = self.log.told();
        let latest = told.latest.values().map(|(_, event)| event).filter(|event| event.kind == kind && !event.deleted);
        let there: BTreeMap<_, _> = latest.map(|event| (event.name.clone(), event.object.clone())).collect();
        there.into_values().collect()
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.log.told().length()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events since there were so many, as far as they are not forgotten.
    pub fn since(&self, count: usize) -> Vec<Event> {
        self.log.told().since(count).cloned().collect()
    }

    /// Finds something in the state of an object now, or in any that comes: none is passed over. `after`: events before that
    /// many are not looked at. The error is the time that was waited in vain.
    pub async fn until<T>(&self, kind: Kind, name: &str, after: usize, find: impl Fn(&Event) -> Option<T>) -> Result<T, Duration> {
        let mut length = self.log.length.subscribe();
        let of_it = |event: &&Event| event.kind == kind && event.name == name;
        let (latest, mut next) = {
            let told = self.log.told();
            (told.latest.get(&(kind, name.to_owned())).cloned(), told.length().max(after))
        };
        if let Some(found) = latest.filter(|(at, _)| *at >= after).and_then(|(_, event)| find(&event)) {
            return Ok(found);
        }
        let found = async {
            loop {
                let news: Vec<_> = {
                    let told = self.log.told();
                    let news = told.since(next).filter(of_it).cloned().collect();
                    next = told.length().max(next);
                    news
                };
                if let Some(found) = news.iter().find_map(&find) {
                    return found;
                }
                length.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.map_err(|_| PATIENCE)
    }

    /// Waits until the watches have told all that has happened until now.
    pub async fn catch_up(&self) {
        for kind in Kind::ALL {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource());
            for object in api.list(&ListParams::default()).await.unwrap() {
                let (name, version) = (object.metadata.name.unwrap_or_default(), number(object.metadata.resource_version.as_deref()));
                let told = self.until(kind, &name, 0, |event| (event.version >= version).then_some(()));
                told.await.unwrap_or_else(|waited| panic!("the watch of {} did not tell of {name} within {waited:?}", kind.as_str()));
            }
        }
    }

    /// The operators learn late of what happens, and their requests come late: by so much.
    pub fn allow_lag(&self, lag: Duration) {
        self.log.told().world.lag = lag.try_into().unwrap();
    }

    /// Judges what has happened so far and forgets most of it, for a test that lasts long. The promises that were broken.
    pub fn judge_and_forget(&self) -> Vec<String> {
        let mut told = self.log.told();
        told.judge();
        told.forget();
        told.world.broken.clone()
    }

    /// Of so many versions, so many came while not every change was told.
    pub fn blindness(&self) -> (u64, u64) {
        let told = self.log.told();
        let mut gaps = told.world.blind.clone();
        gaps.sort_by_key(|gap| gap.start);
        let (mut blind, mut until) = (0, 0);
        for gap in gaps {
            blind += gap.end.saturating_sub(gap.start.max(until));
            until = gap.end.max(until);
        }
        let last = told.complete.values().max().copied().unwrap_or_default();
        (last - told.first, blind)
    }

    /// The promises that were broken, each in a sentence.
    pub fn broken(&self) -> Vec<String> {
        self.log.told().broken()
    }
}

async fn version_now(api: &Api<DynamicObject>) -> u64 {
    number(api.list_metadata(&ListParams::default()).await.unwrap().metadata.resource_version.as_deref())
}

/// Tells every event from a version on.
async fn follow(api: Api<DynamicObject>, kind: Kind, mut from: u64, log: Arc<Log>) {
    log.add(kind, Vec::new(), from);
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
            from = number(object.metadata.resource_version.as_deref());
            log.add(kind, vec![told(kind, object, deleted)], from);
        }
    }
}

fn told(kind: Kind, object: DynamicObject, deleted: bool) -> Event {
    let name = object.metadata.name.clone().unwrap_or_default();
    let version = number(object.metadata.resource_version.as_deref());
    Event { kind, name, version, deleted, object: Arc::new(serde_json::to_value(object).unwrap()), seen: Timestamp::now(), told: None }
}

/// Tells what has changed since a version, and returns the version from which to go on.
async fn look_again(api: &Api<DynamicObject>, kind: Kind, since: u64, log: &Log) -> u64 {
    let list = loop {
        match api.list(&ListParams::default()).await {
            Ok(list) => break list,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let now = number(list.metadata.resource_version.as_deref());
    let mut gone: BTreeMap<_, _> = {
        let mut told = log.told();
        told.world.blind.push(since..now + 1);
        let there = told.latest.values().filter(|(_, event)| event.kind == kind && !event.deleted);
        there.map(|(_, event)| (event.name.clone(), event.clone())).collect()
    };
    let mut news = Vec::new();
    for object in list {
        gone.remove(object.metadata.name.as_deref().unwrap_or_default());
        if number(object.metadata.resource_version.as_deref()) > since {
            news.push(told(kind, object, false));
        }
    }
    news.extend(gone.into_values().map(|event| Event { deleted: true, version: now, seen: Timestamp::now(), ..event }));
    log.add(kind, news, now);
    now
}

fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}
