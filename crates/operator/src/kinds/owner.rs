//! Whose an object is.

use super::wire::WireMeta;
use crate::intern::Text;
use bluegreen_api::names;
use bluegreen_engine::observed::Owner;

/// The owner of an object, from its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    controller: Option<Controller>,
    /// The rollout that our label names.
    rollout: Option<Text>,
    /// The rollout that may take the object over.
    adopt: Option<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Controller {
    /// It is a BlueGreenRollout, of whatever version.
    rollout: bool,
    kind: Text,
    name: Text,
    uid: Text,
}

impl Ownership {
    pub fn of(meta: &WireMeta) -> Self {
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let controller = owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| Controller {
            rollout: owner.kind == "BlueGreenRollout" && owner.api_version.starts_with(names::PREFIX),
            kind: Text::of(&owner.kind),
            name: Text::of(&owner.name),
            uid: Text::of(&owner.uid),
        });
        Self {
            controller,
            rollout: meta.label(names::ROLLOUT_LABEL).map(Text::of),
            adopt: meta.annotation(names::ADOPT_ANNOTATION).map(Text::of),
        }
    }

    /// Seen from the rollout of this name and uid.
    pub fn seen_by(&self, name: &str, uid: &str) -> Owner {
        let foreign = |who: String| Owner::Foreign { who, adopt: self.adopt.as_deref() == Some(name) };
        match &self.controller {
            Some(controller) if *controller.uid == *uid => Owner::Us,
            Some(controller) if controller.rollout && *controller.name == *name => Owner::Former,
            Some(controller) => foreign(format!("{} {}", controller.kind, controller.name)),
            None if self.rollout.as_deref() == Some(name) => Owner::Orphan,
            None => foreign("somebody else (it has no controller and no label of this rollout)".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn owner(meta: Value) -> Owner {
        Ownership::of(&serde_json::from_value(meta).unwrap()).seen_by("shop", "1")
    }

    fn controlled(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
        json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "9"},
            {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true}
        ]})
    }

    #[test]
    fn an_object_belongs_to_its_controller_by_uid() {
        assert_eq!(owner(controlled("bluegreen.dev/v1alpha1", "BlueGreenRollout", "shop", "1")), Owner::Us);
        assert_eq!(owner(controlled("bluegreen.dev/v1beta1", "BlueGreenRollout", "shop", "0")), Owner::Former);
        let foreign = |who: &str| Owner::Foreign { who: who.into(), adopt: false };
        assert_eq!(owner(controlled("bluegreen.dev/v1alpha1", "BlueGreenRollout", "store", "2")), foreign("BlueGreenRollout store"));
        assert_eq!(owner(controlled("example.org/v1", "BlueGreenRollout", "shop", "2")), foreign("BlueGreenRollout shop"));
    }

    #[test]
    fn one_without_controller_is_an_orphan_if_it_carries_our_label() {
        assert_eq!(owner(json!({"labels": {"bluegreen.dev/rollout": "shop"}})), Owner::Orphan);
        assert!(matches!(owner(json!({"labels": {"bluegreen.dev/rollout": "store"}})), Owner::Foreign { adopt: false, .. }));
        assert!(matches!(owner(json!({})), Owner::Foreign { adopt: false, .. }));
    }

    #[test]
    fn its_owner_may_allow_this_rollout_to_take_it() {
        assert!(matches!(owner(json!({"annotations": {"bluegreen.dev/adopt": "shop"}})), Owner::Foreign { adopt: true, .. }));
        assert!(matches!(owner(json!({"annotations": {"bluegreen.dev/adopt": "store"}})), Owner::Foreign { adopt: false, .. }));
    }
}
