//! A GateTemplate or ClusterGateTemplate as it is cached. For a template that can't be parsed, the error is cached.

use super::{Kind, Wire, WireMeta, wire::text};
use bluegreen_api::{ClusterGateTemplate, GateTemplate, GateTemplateSpec};
use bluegreen_engine::observed::ObjectKind;
use kube::Resource;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::{fmt, marker::PhantomData};

/// The type parameter tells the two kinds apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Template<Of> {
    /// As JSON: each look makes its own copy anyway.
    spec: Box<str>,
    of: PhantomData<Of>,
}

impl<Of> Template<Of> {
    /// An error says why it can't be read.
    pub fn spec(&self) -> Result<GateTemplateSpec, String> {
        serde_json::from_str(&self.spec).map_err(|error| error.to_string())
    }
}

/// The difference between the two kinds.
pub trait TemplateOf: Resource<DynamicType = ()> + Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    const KIND: ObjectKind;
    /// The kind of role that lets the operator read templates.
    const ROLE: &'static str;
}

impl TemplateOf for GateTemplate {
    const KIND: ObjectKind = ObjectKind::GateTemplate;
    const ROLE: &'static str = "Role";
}

impl TemplateOf for ClusterGateTemplate {
    const KIND: ObjectKind = ObjectKind::ClusterGateTemplate;
    const ROLE: &'static str = "ClusterRole";
}

impl<Of: TemplateOf> Kind for Template<Of> {
    type Of = Of;
    type Wire = Wire<Box<RawValue>, IgnoredAny>;
    const KIND: ObjectKind = Of::KIND;

    fn trim(wire: Self::Wire) -> Self {
        Self { spec: text(wire.spec).unwrap_or_else(|| "null".into()), of: PhantomData }
    }

    /// Itself: which rollouts name it, they alone say.
    fn rollout(metadata: &WireMeta) -> Option<&str> {
        Some(&metadata.name)
    }

    fn forbidden(message: &str) -> String {
        format!("the operator needs a {} to list and watch {}: {message}", Of::ROLE, Of::plural(&()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::{Value, json};

    #[test]
    fn a_template_that_cannot_be_read_is_kept_with_the_reason() {
        let seen = |spec: Value| arrive::<Template<GateTemplate>>(json!({"metadata": {"name": "slo", "namespace": "web"}, "spec": spec}));
        let fine = seen(json!({"parameters": [{"name": "job"}], "checks": [{"name": "home", "http": {}}]}));
        assert_eq!(fine.body.spec().unwrap().checks[0].name, "home");
        assert_eq!(fine.head.rollout.as_deref(), Some("slo"), "its own name");
        let error = seen(json!({"checks": [{"name": "home", "http": {"method": "SHOUT"}}]})).body.spec().unwrap_err();
        assert!(error.contains("SHOUT"), "{error}");
    }
}
