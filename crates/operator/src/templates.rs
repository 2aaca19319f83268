//! Watches templates of gates, each kind from the moment that a rollout names one of it: where none does, nothing is asked of the
//! API server, and neither their CustomResourceDefinitions nor a right to read them is needed.

use crate::{
    cache::{self, Down, News, Watched},
    clock,
    key::Key,
    kinds::{Arriving, Seen, Template, TemplateOf},
    queue::Queue,
    watches,
};
use bluegreen_api::{BlueGreenRolloutSpec, ClusterGateTemplate, GateTemplate, TemplateKind};
use bluegreen_engine::observed::Late;
use bluegreen_gates::{stage::Stage, templates::TemplateSeen};
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
    followed: Arc<Followed>,
    queue: Arc<Queue>,
}

/// The templates that a rollout names.
pub type Named = BTreeSet<(TemplateKind, Key)>;

/// What each rollout names, as it was last looked at.
#[derive(Default)]
struct Followed(Mutex<BTreeMap<Key, Arc<Named>>>);

/// One template as it is seen.
struct Sight {
    /// Another one for another content.
    version: String,
    /// Where it was asked for: its content takes time to read.
    seen: Option<TemplateSeen>,
    /// Its kind can't be watched.
    late: Option<Late>,
}

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
        Self { client, namespace, own: OneKind::default(), cluster: OneKind::default(), followed: Arc::default(), queue }
    }

    /// Watches the templates that a rollout names. From now on the rollout is looked at when one of them changes.
    pub fn follow(&self, rollout: &Key, spec: &BlueGreenRolloutSpec) -> Arc<Named> {
        let references = Stage::ALL.into_iter().flat_map(|stage| stage.of(spec).templates);
        let named: Named = references.map(|reference| (reference.kind, place(reference.kind, &reference.name, rollout))).collect();
        let named = Arc::new(named);
        // Before any of them is looked for, so that no change after that goes by unheard.
        self.followed.set(rollout, &named);
        named
    }

    /// In which versions these are seen, in their order, and which of their kinds are late.
    pub fn versions(&self, named: &Named) -> (Vec<String>, Vec<Late>) {
        let sights: Vec<Sight> = named.iter().map(|(kind, template)| self.look(*kind, template, false)).collect();
        let late = sights.iter().filter_map(|sight| sight.late.clone()).collect();
        (sights.into_iter().map(|sight| sight.version).collect(), late)
    }

    /// What these hold.
    pub fn seen(&self, named: &Named) -> bluegreen_gates::templates::Templates {
        let one = |(kind, template): &(TemplateKind, Key)| {
            let seen = self.look(*kind, template, true).seen.unwrap_or(TemplateSeen::Absent);
            ((*kind, template.name.to_string()), seen)
        };
        named.iter().map(one).collect()
    }

    fn look(&self, kind: TemplateKind, template: &Key, whole: bool) -> Sight {
        match kind {
            TemplateKind::GateTemplate => self.one(kind, &self.own, template, whole),
            TemplateKind::ClusterGateTemplate => self.one(kind, &self.cluster, template, whole),
        }
    }

    fn one<Of: TemplateOf>(&self, kind: TemplateKind, of: &OneKind<Of>, template: &Key, whole: bool) -> Sight {
        let since = of.begun(|| {
            let api: Api<Arriving<Template<Of>>> = match &self.namespace {
                Some(namespace) if kind == TemplateKind::GateTemplate => Api::namespaced(self.client.clone(), namespace),
                _ => Api::all(self.client.clone()),
            };
            let (watched, named, queue) = (of.watched.clone(), self.followed.clone(), self.queue.clone());
            let hear = move |news| match news {
                News::Changed { rollouts: templates, .. } => {
                    queue.add_all(named.that(|(of, name)| *of == kind && templates.contains(name)))
                }
                News::Listed { .. } => queue.add_all(named.that(|(of, _)| *of == kind)),
            };
            tokio::spawn(async move { cache::follow(api, watches::config(), &watched, hear).await }).abort_handle()
        });
        of.look(template, since, whole)
    }

    /// The rollout is gone.
    pub fn forget(&self, rollout: &Key) {
        self.followed.set(rollout, &Arc::default());
    }
}

/// Those of the cluster have no namespace.
fn place(kind: TemplateKind, name: &str, rollout: &Key) -> Key {
    match kind {
        TemplateKind::GateTemplate => rollout.beside(name),
        TemplateKind::ClusterGateTemplate => Key::new("", name),
    }
}

impl Followed {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Named>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, rollout: &Key, named: &Arc<Named>) {
        let mut all = self.all();
        if named.is_empty() {
            all.remove(rollout);
        } else {
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
                tracing::info!(kind = Of::KIND.as_str(), "watching templates of this kind, since a rollout names one");
                let since = clock::now();
                *begun = Some((since, begin()));
                since
            }
        }
    }

    /// While the watch is down the last known content counts; while nothing was listed yet there is none. `whole`: with its content.
    fn look(&self, template: &Key, since: Timestamp, whole: bool) -> Sight {
        let down = self.watched.down().clone();
        let late = |Down { why, since }: Down| Late { kind: Of::KIND, why, since };
        if !self.watched.is_full() {
            let down = down.unwrap_or_else(|| Down { why: "listing".to_owned(), since });
            let seen = whole.then(|| TemplateSeen::Unknown(down.why.clone()));
            return Sight { version: format!("unknown: {}", down.why), seen, late: Some(late(down)) };
        }
        let found = self.watched.shelf().get(template, Instant::now());
        let version = found.as_ref().map_or("absent", |found| &found.head.resource_version).to_owned();
        let read = |found: Option<Arc<Seen<Template<Of>>>>| match found.map(|found| found.body.spec()) {
            None => TemplateSeen::Absent,
            Some(Ok(spec)) => TemplateSeen::There(Box::new(spec)),
            Some(Err(why)) => TemplateSeen::Unknown(why),
        };
        Sight { version, seen: whole.then(|| read(found)), late: down.map(late) }
    }
}
