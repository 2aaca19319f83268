//! Watches templates of gates, each kind from the moment that a rollout names one of it: where none does, nothing is asked of the
//! API server, and neither their CustomResourceDefinitions nor a right to read them is needed.

use crate::{
    cache::{self, News, Watched},
    clock,
    key::Key,
    kinds::{Arriving, Kind, Template, TemplateOf},
    queue::Queue,
    watches,
};
use bluegreen_api::{BlueGreenRolloutSpec, ClusterGateTemplate, GateTemplate, TemplateKind};
use bluegreen_engine::observed::{Blind, TemplatesSeen};
use bluegreen_gates::templates::TemplateSeen;
use jiff::Timestamp;
use kube::{Api, Client};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{task::AbortHandle, time::Instant};

pub struct Templates {
    client: Client,
    /// The only one that is served, if it isn't all.
    namespace: Option<String>,
    own: OneKind<GateTemplate>,
    cluster: OneKind<ClusterGateTemplate>,
    named: Arc<Named>,
    queue: Arc<Queue>,
}

/// The templates that each rollout names, as it was last looked at.
#[derive(Default)]
struct Named(Mutex<BTreeMap<Key, BTreeSet<(TemplateKind, Key)>>>);

struct OneKind<Of> {
    watched: Arc<Watched<Template<Of>>>,
    begun: Mutex<Option<(Timestamp, AbortHandle)>>,
}

impl<Of> Default for OneKind<Of> {
    fn default() -> Self {
        Self { watched: Arc::default(), begun: Mutex::default() }
    }
}

impl Templates {
    pub fn new(client: Client, namespace: Option<String>, queue: Arc<Queue>) -> Self {
        Self { client, namespace, own: OneKind::default(), cluster: OneKind::default(), named: Arc::default(), queue }
    }

    /// The templates that a rollout names, as they are seen. From now on the rollout is reconciled when a template changes.
    pub fn seen(&self, rollout: &Key, spec: &BlueGreenRolloutSpec) -> TemplatesSeen {
        let before = spec.verification.iter().flat_map(|verification| &verification.templates);
        let after = spec.monitoring.iter().flat_map(|monitoring| &monitoring.templates);
        let named: BTreeSet<_> =
            before.chain(after).map(|reference| (reference.kind, place(reference.kind, &reference.name, rollout))).collect();
        // Before any of them is looked for, so that no change after that goes by unheard.
        self.named.set(rollout, &named);
        let mut seen = TemplatesSeen::default();
        for (kind, template) in named {
            let (found, blind) = match kind {
                TemplateKind::GateTemplate => self.one(kind, &self.own, &template),
                TemplateKind::ClusterGateTemplate => self.one(kind, &self.cluster, &template),
            };
            seen.by_name.insert((kind, template.name.to_string()), found);
            seen.blind = [seen.blind, blind].into_iter().flatten().min_by_key(|blind| blind.since);
        }
        seen
    }

    fn one<Of: TemplateOf>(&self, kind: TemplateKind, of: &OneKind<Of>, template: &Key) -> (TemplateSeen, Option<Blind>) {
        let since = of.begun(|| {
            let api: Api<Arriving<Template<Of>>> = match &self.namespace {
                Some(namespace) if kind == TemplateKind::GateTemplate => Api::namespaced(self.client.clone(), namespace),
                _ => Api::all(self.client.clone()),
            };
            let (watched, named, queue) = (of.watched.clone(), self.named.clone(), self.queue.clone());
            let hear = move |news| match news {
                News::Changed(templates) => queue.add_all(named.that(|(of, name)| *of == kind && templates.contains(name))),
                News::Listed { .. } => queue.add_all(named.that(|(of, _)| *of == kind)),
            };
            tokio::spawn(async move { cache::follow(api, watches::config(), &watched, hear).await }).abort_handle()
        });
        of.look(template, since)
    }

    /// The rollout is gone.
    pub fn forget(&self, rollout: &Key) {
        self.named.set(rollout, &BTreeSet::new());
    }
}

/// Those of the cluster have no namespace.
fn place(kind: TemplateKind, name: &str, rollout: &Key) -> Key {
    match kind {
        TemplateKind::GateTemplate => rollout.beside(name),
        TemplateKind::ClusterGateTemplate => Key::new("", name),
    }
}

impl Named {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, BTreeSet<(TemplateKind, Key)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, rollout: &Key, named: &BTreeSet<(TemplateKind, Key)>) {
        let mut all = self.all();
        if named.is_empty() {
            all.remove(rollout);
        } else if all.get(rollout) != Some(named) {
            all.insert(rollout.clone(), named.clone());
        }
    }

    /// The rollouts that name such a template.
    fn that(&self, such: impl Fn(&(TemplateKind, Key)) -> bool) -> Vec<Key> {
        self.all().iter().filter(|(_, named)| named.iter().any(&such)).map(|(rollout, _)| rollout.clone()).collect()
    }
}

impl<Of: TemplateOf> OneKind<Of> {
    /// Since when it is watched. A watch that has ended, which is a fault of the operator, begins again.
    fn begun(&self, begin: impl FnOnce() -> AbortHandle) -> Timestamp {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        match &*begun {
            Some((since, task)) if !task.is_finished() => *since,
            _ => {
                tracing::info!(kind = Template::<Of>::WORD, "watching templates of this kind, since a rollout names one");
                let since = clock::now();
                *begun = Some((since, begin()));
                since
            }
        }
    }

    /// While the watch is down what is known is still told; while nothing was listed yet there is nothing to tell.
    fn look(&self, template: &Key, since: Timestamp) -> (TemplateSeen, Option<Blind>) {
        let down = self.watched.down().clone();
        if !self.watched.is_full() {
            let Blind { why, since } = down.unwrap_or_else(|| Blind { why: "listing".to_owned(), since });
            return (TemplateSeen::Unknown(why.clone()), Some(blind::<Of>(&why, since)));
        }
        let found = self.watched.shelf().get(template, Instant::now());
        let seen = match found.map(|found| found.body.spec()) {
            None => TemplateSeen::Absent,
            Some(Ok(spec)) => TemplateSeen::There(Box::new(spec)),
            Some(Err(why)) => TemplateSeen::Unknown(why),
        };
        (seen, down.map(|down| blind::<Of>(&down.why, down.since)))
    }
}

fn blind<Of: TemplateOf>(why: &str, since: Timestamp) -> Blind {
    Blind { why: format!("{}: {why}", Of::plural(&())), since }
}
