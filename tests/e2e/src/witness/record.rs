//! Everything that happened in a namespace, as its watches tell it.

use super::{Event, Kind, judge};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// How long a test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(40);

/// The events so far, and the watches that bring more.
pub struct Record {
    client: Client,
    namespace: String,
    log: Arc<Log>,
    /// Ended when the record is dropped.
    _watches: JoinSet<()>,
}

#[derive(Debug)]
struct Log {
    events: Mutex<Vec<Event>>,
    /// Where each object's latest event is.
    latest: Mutex<HashMap<(Kind, String), usize>>,
    /// Versions between which a watch did not tell every change.
    blind: Mutex<Vec<Range<u64>>>,
    length: watch::Sender<usize>,
}

impl Log {
    fn add(&self, event: Event) {
        let mut events = self.events.lock().unwrap();
        self.latest.lock().unwrap().insert((event.kind, event.name.clone()), events.len());
        events.push(event);
        self.length.send_replace(events.len());
    }
}

impl Record {
    /// Watches a namespace that is still empty of what is watched.
    pub async fn begin(client: Client, namespace: &str) -> Self {
        let log =
            Arc::new(Log { events: Mutex::default(), latest: Mutex::default(), blind: Mutex::default(), length: watch::Sender::new(0) });
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let api = Api::namespaced_with(client.clone(), namespace, &kind.resource());
            let from = version_now(&api).await;
            watches.spawn(follow(api, kind, from, log.clone()));
        }
        Self { client, namespace: namespace.to_owned(), log, _watches: watches }
    }

    /// The latest version of an object, if it is there.
    pub fn latest(&self, kind: Kind, name: &str) -> Option<Value> {
        let events = self.log.events.lock().unwrap();
        let latest = &events[*self.log.latest.lock().unwrap().get(&(kind, name.to_owned()))?];
        (!latest.deleted).then(|| Value::clone(&latest.object))
    }

    /// All objects of a kind that are there, in the order of their names.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        let events = self.log.events.lock().unwrap();
        let mut there = BTreeMap::new();
        for event in events.iter().filter(|event| event.kind == kind) {
            if event.deleted {
                there.remove(&event.name);
            } else {
                there.insert(event.name.clone(), event.object.clone());
            }
        }
        there.into_values().map(|object| Value::clone(&object)).collect()
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.log.events.lock().unwrap().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events since there were so many.
    pub fn since(&self, count: usize) -> Vec<Event> {
        self.log.events.lock().unwrap()[count..].to_vec()
    }

    /// Finds something in the state of an object now, or in any that comes: none is passed over. `after`: events before that
    /// many are not looked at. The error is the time that was waited in vain.
    pub async fn until<T>(&self, kind: Kind, name: &str, after: usize, find: impl Fn(&Event) -> Option<T>) -> Result<T, Duration> {
        let mut length = self.log.length.subscribe();
        let of_it = |event: &&Event| event.kind == kind && event.name == name;
        let mut next = {
            let events = self.log.events.lock().unwrap();
            events.iter().rposition(|event| of_it(&event)).unwrap_or(events.len()).max(after)
        };
        let found = async {
            loop {
                let news = {
                    let events = self.log.events.lock().unwrap();
                    let news: Vec<_> = events.get(next..).unwrap_or_default().iter().filter(of_it).cloned().collect();
                    next = events.len().max(next);
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

    /// The promises that were broken, each in a sentence.
    pub fn broken(&self) -> Vec<String> {
        judge(&self.since(0), &self.log.blind.lock().unwrap())
    }
}

async fn version_now(api: &Api<DynamicObject>) -> u64 {
    number(api.list_metadata(&ListParams::default()).await.unwrap().metadata.resource_version.as_deref())
}

/// Tells every event from a version on.
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
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(_) => {
                    // The API server was started anew and has forgotten what came before.
                    from = look_again(&api, kind, from, &log).await;
                    break;
                }
            };
            from = number(object.metadata.resource_version.as_deref());
            log.add(told(kind, object, deleted));
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
    log.blind.lock().unwrap().push(since..now + 1);
    let mut gone: BTreeMap<_, _> = {
        let events = log.events.lock().unwrap();
        events.iter().filter(|event| event.kind == kind).map(|event| (event.name.clone(), event.clone())).collect()
    };
    for object in list {
        gone.remove(object.metadata.name.as_deref().unwrap_or_default());
        if number(object.metadata.resource_version.as_deref()) > since {
            log.add(told(kind, object, false));
        }
    }
    for event in gone.into_values().filter(|event| !event.deleted) {
        log.add(Event { deleted: true, version: now, seen: Timestamp::now(), ..event });
    }
    now
}

fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}
