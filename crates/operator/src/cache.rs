//! Watch caches of all the objects that decisions are made from.

use crate::{
    key::Key,
    kinds::{Arriving, Deployment, EndpointSlice, Kind, Pod, Revision, Rollout, Service},
    queue::Queue,
    shelf::Shelf,
};
use bluegreen_api::names;
use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::Notify, task::JoinSet};

/// Small pages: what isn't kept of them is garbage for a moment, and the more of it the larger they are.
const PAGE: u32 = 250;

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

/// A shelf and how the watch that fills it gets on.
pub struct Watched<T> {
    shelf: Mutex<Shelf<T>>,
    full: AtomicBool,
    /// The latest error, while there is one.
    trouble: Mutex<Option<String>>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self { shelf: Mutex::default(), full: AtomicBool::new(false), trouble: Mutex::default() }
    }
}

impl<T> Watched<T> {
    pub fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
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
            let config = watcher::Config { label_selector: label.map(str::to_owned), ..watcher::Config::default().page_size(PAGE) };
            let (cache, queue) = (cache.clone(), queue.clone());
            tasks.spawn(async move { follow(api, config, shelf(&cache), &queue, &cache.filled).await });
        }
        let owned = (client, namespace, Some(names::ROLLOUT_LABEL));
        start(self, |cache| &cache.rollouts, (client, namespace, None), queue, tasks);
        start(self, |cache| &cache.deployments, owned, queue, tasks);
        start(self, |cache| &cache.services, owned, queue, tasks);
        start(self, |cache| &cache.pods, owned, queue, tasks);
        start(self, |cache| &cache.slices, owned, queue, tasks);
        start(self, |cache| &cache.revisions, owned, queue, tasks);
    }

    /// What is still missing before the first decision, in words; nothing when all caches are full.
    pub fn missing(&self) -> Vec<String> {
        fn one<T: Kind>(watched: &Watched<T>) -> Option<String> {
            let why = watched.trouble().clone();
            (!watched.is_full()).then(|| format!("the {} cache is not full yet: {}", T::WORD, why.as_deref().unwrap_or("listing")))
        }
        let all =
            [one(&self.rollouts), one(&self.deployments), one(&self.services), one(&self.pods), one(&self.slices), one(&self.revisions)];
        all.into_iter().flatten().collect()
    }

    /// Returns when all caches are full.
    pub async fn filled(&self) {
        loop {
            let news = self.filled.notified();
            if self.missing().is_empty() {
                return;
            }
            news.await;
        }
    }

    /// Every rollout that there is.
    pub fn all(&self) -> Vec<Key> {
        self.rollouts.shelf().keys()
    }
}

/// Keeps one shelf as the API server has it.
async fn follow<T: Kind>(api: Api<Arriving<T>>, config: watcher::Config, watched: &Watched<T>, queue: &Queue, filled: &Notify) {
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                // A list that merely begins has not succeeded.
                if !matches!(event, Event::Init) {
                    watched.trouble().take();
                }
                let listed = matches!(event, Event::InitDone);
                queue.add_all(concerned(watched, event));
                if listed {
                    filled.notify_one();
                }
            }
            Err(error) => {
                let why = words::<T>(&error);
                // Once per trouble, not once per try.
                if watched.trouble().replace(why.clone()).is_none() {
                    tracing::warn!(kind = T::WORD, error = %why, "the watch has failed and is tried again");
                }
            }
        }
    }
}

/// Why a watch fails, for people.
fn words<T: Kind>(error: &watcher::Error) -> String {
    use watcher::Error;
    let (Error::InitialListFailed(cause) | Error::WatchStartFailed(cause) | Error::WatchFailed(cause)) = error else {
        return error.to_string();
    };
    match cause {
        kube::Error::Api(status) if status.code == 404 => {
            format!("the API server doesn't know {}: is its CustomResourceDefinition installed?", T::Of::plural(&()))
        }
        kube::Error::Api(status) => status.message.clone(),
        cause => cause.to_string(),
    }
}

fn concerned<T: Kind>(watched: &Watched<T>, event: Event<Arriving<T>>) -> Vec<Key> {
    let mut shelf = watched.shelf();
    match event {
        Event::Init => {
            shelf.list_begins();
            vec![]
        }
        Event::InitApply(object) | Event::Apply(object) => shelf.arrived(object.seen),
        Event::Delete(object) => shelf.departed(&object.seen.head),
        Event::InitDone => {
            let gone = shelf.list_ends();
            watched.full.store(true, Ordering::Release);
            gone
        }
    }
}
