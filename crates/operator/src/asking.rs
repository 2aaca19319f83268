//! What each rollout asks for, worked out once for each generation of it and of the templates that it names.

use crate::{
    key::Key,
    kinds::{Rollout, Seen},
    templates::{Named, Templates},
};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::{asked::Asked, observed::Late};
use serde_json::Value;
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
    /// What the API server kept of a status, where that is less than was sent, and what was sent.
    incomplete: Option<(Box<str>, Arc<BlueGreenRolloutStatus>)>,
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
            None => {
                let incomplete = known.as_ref().and_then(|known| known.incomplete.as_ref());
                let sent = incomplete.filter(|(kept, _)| Some(&**kept) == rollout.body.kept_status()).map(|(_, sent)| sent.clone());
                let status = sent.map_or_else(|| rollout.body.status().map(Arc::new), Ok)?;
                (rollout.head.resource_version.clone(), status)
            }
        };
        let incomplete = known.as_ref().and_then(|known| known.incomplete.clone());
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
            incomplete,
        };
        self.known().insert(key.clone(), known);
        Ok(Terms { asked, status, late })
    }

    /// The API server's answer to this status. An older CustomResourceDefinition drops fields that it doesn't know: what was sent is
    /// believed for as long as what was kept stays the same, or it would be sent again and again. The first of them, once.
    pub fn answered(&self, key: &Key, written: &Seen<Rollout>, sent: &BlueGreenRolloutStatus) -> Option<String> {
        let kept = written.body.status().ok()?;
        let mut all = self.known();
        let known = all.get_mut(key)?;
        let told = known.incomplete.take().is_some();
        // The answer is what the next look would read.
        let version = written.head.resource_version.clone();
        if kept == *sent {
            known.recorded = Some((version, Arc::new(kept)));
            return None;
        }
        // But not that a switch is decided: an operator that leads after this one must know it.
        let sent = Arc::new(BlueGreenRolloutStatus { armed: kept.armed, ..sent.clone() });
        known.recorded = Some((version, sent.clone()));
        known.incomplete = Some((written.body.kept_status().unwrap_or_default().into(), sent.clone()));
        (!told).then(|| lacking(&serde_json::json!(*sent), &serde_json::json!(kept), "status"))
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

/// Where the first value is that was sent and not kept.
fn lacking(sent: &Value, kept: &Value, path: &str) -> String {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            let other = sent.iter().find(|(name, value)| kept.get(*name) != Some(*value));
            other.map_or_else(
                || path.to_owned(),
                |(name, value)| lacking(value, kept.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}")),
            )
        }
        (Value::Array(sent), Value::Array(kept)) => {
            let other = sent.iter().zip(kept).find(|(sent, kept)| sent != kept);
            other.map_or_else(|| path.to_owned(), |(sent, kept)| lacking(sent, kept, &format!("{path}[]")))
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_field_that_was_not_kept_is_named() {
        let sent = json!({"a": 1, "gates": [{"name": "x"}, {"name": "y", "tries": {"failed": 1, "notDone": 2}}]});
        let mut kept = sent.clone();
        kept["gates"][1]["tries"].as_object_mut().unwrap().remove("notDone");
        assert_eq!(lacking(&sent, &kept, "status"), "status.gates[].tries.notDone");
        assert_eq!(lacking(&sent, &json!({"a": 1}), "status"), "status.gates");
    }
}
