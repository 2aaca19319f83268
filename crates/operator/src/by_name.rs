//! Watches single objects that have one of a rollout's names but not its label, and so are invisible to the caches or concern another rollout there.

use crate::{
    cache::{Cache, Watched},
    clock,
    key::Key,
    kinds::{Arriving, Kind, Seen},
    queue::Queue,
    watches::{self, Pause},
};
use bluegreen_api::names;
use bluegreen_engine::observed::ObjectKind;
use futures::{Stream, StreamExt};
use kube::{Api, Client, runtime::watcher};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{task::AbortHandle, time::Instant};

/// Watches for the names of one namespace. What isn't watched beyond them is read live with each look.
const MOST: usize = 16;

pub struct ByName {
    client: Client,
    queue: Arc<Queue>,
    watches: Mutex<HashMap<(ObjectKind, Key), Watch>>,
}

struct Watch {
    rollout: Key,
    task: AbortHandle,
}

impl ByName {
    pub fn new(client: Client, queue: Arc<Queue>) -> Self {
        Self { client, queue, watches: Mutex::default() }
    }

    /// `found`: what is seen under one of the rollout's names. It is watched by that name exactly while it doesn't carry the rollout's label.
    pub fn follow<T: Kind>(&self, rollout: &Key, name: &Key, found: Option<&Seen<T>>, cache: &Arc<Cache>)
    where
        Cache: AsRef<Watched<T>>,
    {
        let blind = found.is_some_and(|found| found.head.rollout.as_ref() != Some(&rollout.name));
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (T::KIND, name.clone());
        if !blind {
            if watches.get(&id).is_some_and(|watch| watch.rollout == *rollout) {
                watches.remove(&id).inspect(|watch| watch.task.abort());
                AsRef::<Watched<T>>::as_ref(&**cache).shelf().released(name, Instant::now());
            }
            return;
        }
        if watches.get(&id).is_some_and(|watch| !watch.task.is_finished()) {
            return;
        }
        if watches.keys().filter(|(_, other)| other.namespace == name.namespace && *other != *name).count() >= MOST {
            tracing::debug!(%rollout, kind = T::KIND.as_str(), object = %name, MOST, "too many objects of this namespace are watched by name");
            return;
        }
        tracing::info!(%rollout, kind = T::KIND.as_str(), object = %name, label = names::ROLLOUT_LABEL, "an object with this name lacks the rollout's label; watching it by name");
        let api = Api::<Arriving<T>>::namespaced(self.client.clone(), &name.namespace);
        let changes = watches::of_one(api, &name.name);
        let task = tokio::spawn(follow(changes, cache.clone(), self.queue.clone(), rollout.clone(), name.clone())).abort_handle();
        watches.insert(id, Watch { rollout: rollout.clone(), task });
    }

    /// The rollout is gone.
    pub fn forget(&self, rollout: &Key) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watch| {
            let keep = watch.rollout != *rollout;
            if !keep {
                watch.task.abort();
            }
            keep
        });
    }
}

async fn follow<T: Kind>(
    changes: impl Stream<Item = watcher::Result<Option<Arriving<T>>>>,
    cache: Arc<Cache>,
    queue: Arc<Queue>,
    rollout: Key,
    name: Key,
) where
    Cache: AsRef<Watched<T>>,
{
    let mut changes = std::pin::pin!(changes);
    let mut pause = Pause::default();
    while let Some(change) = changes.next().await {
        let watched: &Watched<T> = (*cache).as_ref();
        match change {
            Ok(Some(object)) => {
                match object.read {
                    Ok(seen) => watched.shelf().watched_by_name(seen),
                    Err(unread) => watched.shelf().unreadable(unread, clock::now()),
                };
            }
            Ok(None) => {
                watched.shelf().gone(&name, Instant::now());
            }
            Err(error) => {
                tracing::debug!(kind = T::KIND.as_str(), object = %name, %error, "the watch by name failed; retrying");
                pause.rest().await;
                continue;
            }
        }
        pause = Pause::default();
        queue.add(rollout.clone());
    }
}
