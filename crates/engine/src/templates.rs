//! Templates of gates that a rollout names: with their parameters put in they are checks and metrics like its own.

use crate::{
    gates::Stage,
    metric::is_comparison,
    observed::{TemplateSeen, TemplatesSeen},
    plan::Invalid,
};
use bluegreen_api::{Check, FactorOf, GateTemplateSpec, Metric, TemplateKind, TemplateReference};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// The checks and metrics of one place: of the rollout itself, or of a template that it names.
#[derive(Clone, Debug)]
pub struct Group {
    /// `slo/`, before the names of its gates; nothing for those of the rollout itself.
    prefix: String,
    /// Where they stand, for people.
    pub place: String,
    pub checks: Vec<Check>,
    pub metrics: Vec<Metric>,
}

impl Group {
    /// Those of the rollout itself, then those of its templates.
    pub fn all(
        stage: Stage,
        checks: Vec<Check>,
        metrics: Vec<Metric>,
        references: &[TemplateReference],
        namespace: &str,
        seen: &TemplatesSeen,
    ) -> Result<Vec<Self>, Invalid> {
        let own = Self::own(stage, checks, metrics);
        let of_templates = references.iter().map(|reference| {
            let both = references.iter().any(|other| other.name == reference.name && other.kind != reference.kind);
            Self::of_template(stage, reference, both, namespace, seen)
        });
        std::iter::once(Ok(own)).chain(of_templates).collect()
    }

    pub fn own(stage: Stage, checks: Vec<Check>, metrics: Vec<Metric>) -> Self {
        Self { prefix: String::new(), place: stage.section().to_owned(), checks, metrics }
    }

    /// `both`: a template of the other kind has the same name.
    fn of_template(
        stage: Stage,
        reference: &TemplateReference,
        both: bool,
        namespace: &str,
        seen: &TemplatesSeen,
    ) -> Result<Self, Invalid> {
        let TemplateReference { kind, name, parameters } = reference;
        let (who, prefix) = match kind {
            TemplateKind::GateTemplate => (format!("{kind} {namespace}/{name}"), format!("{name}/")),
            TemplateKind::ClusterGateTemplate if both => (format!("{kind} {name}"), format!("cluster:{name}/")),
            TemplateKind::ClusterGateTemplate => (format!("{kind} {name}"), format!("{name}/")),
        };
        let place = format!("{}.templates: {who}", stage.section());
        let template = match seen.by_name.get(&(*kind, name.clone())) {
            Some(TemplateSeen::There(template)) => template,
            Some(TemplateSeen::Unknown(why)) => return Err(Invalid(format!("{place} can't be read: {why}"))),
            Some(TemplateSeen::Absent) | None => return Err(Invalid(format!("{place} doesn't exist: create it, or take it out"))),
        };
        let values = values(template, parameters).map_err(|why| Invalid(format!("{place} {why}")))?;
        let mut group = Self { prefix, place, checks: vec![], metrics: vec![] };
        for check in &template.checks {
            let filled = filled(check, &values).map_err(|why| group.wrong("checks", &check.name, &why))?;
            group.checks.push(filled);
        }
        for metric in &template.metrics {
            let filled = filled(metric, &values).map_err(|why| group.wrong("metrics", &metric.name, &why))?;
            group.metrics.extend(fitting(stage, filled));
        }
        Ok(group)
    }

    /// The name of a gate of it.
    pub fn gate(&self, stage: Stage, name: &str) -> String {
        format!("{}{}{name}", stage.prefix(), self.prefix)
    }

    /// What is wrong with one of its checks or metrics.
    pub fn wrong(&self, list: &str, name: &str, why: &str) -> Invalid {
        let joint = if self.prefix.is_empty() { "." } else { ": " };
        Invalid(format!("{}{joint}{list} {name}: {why}", self.place))
    }
}

/// One template serves before the switch and after it: what compares with the active side has nothing to compare with after it, and what
/// compares with the time before the switch has nothing before it. None: it did only that.
fn fitting(stage: Stage, metric: Metric) -> Option<Metric> {
    let of = metric.factor_of.unwrap_or(FactorOf::ActiveSide);
    let compares = metric.max_factor.is_some();
    if (stage, of) == (Stage::Verification, FactorOf::ActiveSide)
        || (stage, of, compares) == (Stage::Monitoring, FactorOf::BeforeSwitch, true)
    {
        return Some(metric);
    }
    let limited = metric.max.is_some() || metric.min.is_some();
    let fits = stage == Stage::Verification || !is_comparison(&metric);
    (fits && (limited || !compares)).then_some(Metric { max_factor: None, factor_from: None, factor_of: None, ..metric })
}

/// What each parameter is for a rollout that gives these.
fn values<'a>(template: &'a GateTemplateSpec, given: &'a BTreeMap<String, String>) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let declared = || template.parameters.iter().map(|parameter| parameter.name.as_str());
    if let Some(unknown) = given.keys().find(|name| !declared().any(|declared| declared == **name)) {
        let known = declared().collect::<Vec<_>>().join(", ");
        let has = if known.is_empty() { "none" } else { &known };
        return Err(format!("has no parameter {unknown} (it has {has}): take it out of parameters"));
    }
    let value = |name: &'a str, default: Option<&'a String>| match given.get(name).or(default) {
        Some(value) => Ok((name, value.as_str())),
        None => Err(format!("needs the parameter {name}, which has no default: give it in parameters")),
    };
    template.parameters.iter().map(|parameter| value(&parameter.name, parameter.default.as_ref())).collect()
}

/// A check or metric with its parameters put in, wherever it has text.
fn filled<T: Serialize + DeserializeOwned>(item: &T, values: &BTreeMap<&str, &str>) -> Result<T, String> {
    let unreadable = |error: serde_json::Error| format!("it can't be read with its parameters put in: {error}");
    let mut json = serde_json::to_value(item).map_err(unreadable)?;
    fill(&mut json, values)?;
    serde_json::from_value(json).map_err(unreadable)
}

fn fill(json: &mut Value, values: &BTreeMap<&str, &str>) -> Result<(), String> {
    match json {
        Value::String(text) => *text = put_in(text, values)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, values))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, values))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Parameters only: whatever else stands between braces is somebody else's, and a value is text that is not looked through again.
fn put_in(text: &str, values: &BTreeMap<&str, &str>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("{{") {
        filled.push_str(before);
        let named = tail.split_once("}}").and_then(|(name, after)| Some((name.trim().strip_prefix("parameters.")?, after)));
        rest = if let Some((name, after)) = named {
            let unknown = || format!("{{{{ parameters.{name} }}}} is not declared: add {name} to the parameters of the template");
            filled.push_str(values.get(name).ok_or_else(unknown)?);
            after
        } else {
            filled.push_str("{{");
            tail
        };
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests;
