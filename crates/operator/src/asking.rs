//! What each rollout asks for, worked out once for each generation of it and of the templates that it names.

use crate::{
    key::Key,
    kinds::{Rollout, Seen},
    templates::{Named, Templates},
};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::{asked::Asked, observed::Late};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub struct Asking {
    pub templates: Templates,
    default_prometheus: Option<String>,
    known: Mutex<HashMap<Key, Known>>,
}

/// The latest of a rollout.
struct Known {
    uid: Box<str>,
    generation: i64,
    /// The templates that this generation names, and the versions in which they were seen.
    named: Arc<Named>,
    versions: Vec<String>,
    asked: Arc<Asked>,
    /// The status of this version of the object.
    recorded: Option<(Box<str>, Arc<BlueGreenRolloutStatus>)>,
}

/// A rollout as a decision needs it.
#[derive(Clone, Debug)]
pub struct Terms {
    pub asked: Arc<Asked>,
    pub status: Arc<BlueGreenRolloutStatus>,
    /// Templates that can't be watched.
    pub late: Vec<Late>,
}

impl Asking {
    pub fn new(templates: Templates, default_prometheus: Option<String>) -> Self {
        Self { templates, default_prometheus, known: Mutex::default() }
    }

    /// An error says why the rollout can't be read.
    pub fn of(&self, key: &Key, rollout: &Seen<Rollout>) -> Result<Terms, String> {
        // Taken out, not locked, while it is worked out: no two looks at a rollout run at a time, and others go on meanwhile.
        let known = self.known().remove(key).filter(|known| *known.uid == *rollout.head.uid);
        let recorded =
            known.as_ref().and_then(|known| known.recorded.clone()).filter(|(version, _)| *version == rollout.head.resource_version);
        let (version, status) = match recorded {
            Some(recorded) => recorded,
            None => (rollout.head.resource_version.clone(), Arc::new(rollout.body.status()?)),
        };
        let known = known.filter(|known| known.generation == rollout.body.generation);
        let (named, spec) = match &known {
            Some(known) => (known.named.clone(), None),
            None => {
                let spec = rollout.body.spec()?;
                (self.templates.follow(key, &spec), Some(spec))
            }
        };
        let (versions, late) = self.templates.versions(&named);
        let asked = match (known.filter(|known| known.versions == versions), spec) {
            (Some(known), _) => known.asked,
            (None, spec) => {
                let spec = spec.map_or_else(|| rollout.body.spec(), Ok)?;
                let templates = self.templates.seen(&named);
                Arc::new(Asked::of(spec, (&key.namespace, &key.name), templates, self.default_prometheus.as_deref()))
            }
        };
        let known = Known {
            uid: rollout.head.uid.clone(),
            generation: rollout.body.generation,
            named,
            versions,
            asked: asked.clone(),
            recorded: Some((version, status.clone())),
        };
        self.known().insert(key.clone(), known);
        Ok(Terms { asked, status, late })
    }

    /// The rollout is gone.
    pub fn forget(&self, key: &Key) {
        self.known().remove(key);
        self.templates.forget(key);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
