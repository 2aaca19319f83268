//! Templates of gates that a rollout names: with their parameters put in they are checks and metrics like its own.

use crate::{
    invalid::{Invalid, Unplanned},
    stage::Stage,
    weigh::expression::Expression,
};
use bluegreen_api::{Check, FactorOf, GateTemplateSpec, Metric, TemplateKind, TemplateReference};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{cell::Cell, collections::BTreeMap};

/// Bytes that parameters may add to all checks and metrics of a stage. Texts may name a parameter many times, and gates are many: without
/// a bound of the whole, a few objects of some kilobytes would fill gigabytes.
const ROOM: usize = 256 * 1024;

/// The templates that are seen, by kind and name: those of a rollout's namespace, and those of the cluster.
pub type Templates = BTreeMap<(TemplateKind, String), TemplateSeen>;

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
    /// Those of the rollout itself, then those of its templates; each with what is wrong with it alone.
    pub fn all(
        stage: Stage,
        own: (&[Check], &[Metric]),
        references: &[TemplateReference],
        parameters: &BTreeMap<String, String>,
        namespace: &str,
        seen: &Templates,
    ) -> Vec<Result<Self, Unplanned>> {
        let by_name = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let room = Cell::new(ROOM);
        let parameters = Parameters { by_name, declared_in: "spec.parameters", room: &room };
        let unplanned = |prefix: &str, why: Invalid| Unplanned { name: format!("{}{prefix}*", stage.prefix()), why };
        let own = Self::own(stage, vec![], vec![]).with(own.0, own.1, &parameters).map_err(|why| unplanned("", why));
        let of_templates = references.iter().map(|reference| {
            let both = references.iter().any(|other| other.name == reference.name && other.kind != reference.kind);
            let prefix = prefix(reference, both);
            Self::of_template(stage, reference, &parameters, prefix.clone(), namespace, seen).map_err(|why| unplanned(&prefix, why))
        });
        std::iter::once(own).chain(of_templates).collect()
    }

    fn with(mut self, checks: &[Check], metrics: &[Metric], parameters: &Parameters<'_>) -> Result<Self, Invalid> {
        for check in checks {
            let filled = filled(check, parameters).map_err(|why| self.wrong("checks", &check.name, &why))?;
            self.checks.push(filled);
        }
        for metric in metrics {
            let filled = filled(metric, parameters).map_err(|why| self.wrong("metrics", &metric.name, &why))?;
            self.metrics.push(filled);
        }
        Ok(self)
    }

    pub fn own(stage: Stage, checks: Vec<Check>, metrics: Vec<Metric>) -> Self {
        Self { prefix: String::new(), place: stage.section().to_owned(), checks, metrics }
    }

    /// `parameters`: the rollout's own.
    fn of_template(
        stage: Stage,
        reference: &TemplateReference,
        parameters: &Parameters<'_>,
        prefix: String,
        namespace: &str,
        seen: &Templates,
    ) -> Result<Self, Invalid> {
        let TemplateReference { kind, name, parameters: given } = reference;
        let who = match kind {
            TemplateKind::GateTemplate => format!("{kind} {namespace}/{name}"),
            TemplateKind::ClusterGateTemplate => format!("{kind} {name}"),
        };
        let place = format!("{}.templates: {who}", stage.section());
        let template = match seen.get(&(*kind, name.clone())) {
            Some(TemplateSeen::There(template)) => template,
            Some(TemplateSeen::Unknown(why)) => return Err(Invalid(format!("{place} can't be read: {why}"))),
            Some(TemplateSeen::Absent) | None => return Err(Invalid(format!("{place} doesn't exist: create it, or remove it from spec"))),
        };
        let given = given.iter().map(|(name, value)| Ok((name.clone(), put_in(value, parameters)?)));
        let given: BTreeMap<_, _> = given.collect::<Result<_, String>>().map_err(|why| Invalid(format!("{place}: parameters: {why}")))?;
        let values = values(template, &given, parameters.room).map_err(|why| Invalid(format!("{place} {why}")))?;
        let group = Self { prefix, place, checks: vec![], metrics: vec![] };
        let group = group.with(&template.checks, &template.metrics, &values)?;
        Ok(Self { metrics: group.metrics.into_iter().filter_map(|metric| fitting(stage, metric)).collect(), ..group })
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

/// What comes before the names of a template's gates. `both`: a template of the other kind has the same name.
fn prefix(TemplateReference { kind, name, .. }: &TemplateReference, both: bool) -> String {
    match kind {
        TemplateKind::ClusterGateTemplate if both => format!("cluster:{name}/"),
        TemplateKind::GateTemplate | TemplateKind::ClusterGateTemplate => format!("{name}/"),
    }
}

/// One template serves before the switch and after it: what compares with the active side has nothing to compare with after it, and what
/// compares with the time before the switch has nothing before it. None: it did only that.
fn fitting(stage: Stage, metric: Metric) -> Option<Metric> {
    if stage.is_after_the_switch() && metric.is_comparison() {
        return None;
    }
    let mut fitting = metric.clone();
    let misfit = if stage.is_after_the_switch() { FactorOf::ActiveSide } else { FactorOf::BeforeSwitch };
    if metric.factor_of.unwrap_or(FactorOf::ActiveSide) == misfit {
        (fitting.max_factor, fitting.factor_from, fitting.factor_of) = (None, None, None);
        fitting.inconclusive_limit = None;
    }
    if stage.is_after_the_switch() && names_active(&metric) {
        fitting.good_if = None;
    }
    let compared = (fitting.max_factor.is_none(), fitting.good_if.is_none()) != (metric.max_factor.is_none(), metric.good_if.is_none());
    let limited = fitting.max.is_some() || fitting.min.is_some() || fitting.max_factor.is_some() || fitting.good_if.is_some();
    (limited || !compared).then_some(fitting)
}

/// What is wrong with an expression is told where it is read.
fn names_active(metric: &Metric) -> bool {
    metric.good_if.as_deref().is_some_and(|text| Expression::of(text).is_ok_and(|good_if| good_if.names_active()))
}

/// Texts that stand for names, and where one that is missing is to be declared.
struct Parameters<'a> {
    by_name: BTreeMap<&'a str, &'a str>,
    declared_in: &'static str,
    /// Bytes that may still be put in, anywhere in the stage.
    room: &'a Cell<usize>,
}

/// What each parameter is for a rollout that gives these.
fn values<'a>(
    template: &'a GateTemplateSpec,
    given: &'a BTreeMap<String, String>,
    room: &'a Cell<usize>,
) -> Result<Parameters<'a>, String> {
    let declared = || template.parameters.iter().map(|parameter| parameter.name.as_str());
    if let Some(unknown) = given.keys().find(|name| !declared().any(|declared| declared == **name)) {
        let known = declared().collect::<Vec<_>>().join(", ");
        let has = if known.is_empty() { "none" } else { &known };
        return Err(format!("has no parameter {unknown} (it has {has}): remove it from parameters"));
    }
    let value = |name: &'a str, default: Option<&'a String>| match given.get(name).or(default) {
        Some(value) => Ok((name, value.as_str())),
        None => Err(format!("needs the parameter {name}, which has no default: set it in parameters")),
    };
    let by_name = template.parameters.iter().map(|parameter| value(&parameter.name, parameter.default.as_ref()));
    Ok(Parameters { by_name: by_name.collect::<Result<_, _>>()?, declared_in: "the parameters of the template", room })
}

/// A check or metric with its parameters put in, wherever it has text.
fn filled<T: Serialize + DeserializeOwned>(item: &T, parameters: &Parameters<'_>) -> Result<T, String> {
    let unreadable = |error: serde_json::Error| format!("it is not valid with its parameters filled in: {error}");
    let mut json = serde_json::to_value(item).map_err(unreadable)?;
    fill(&mut json, parameters)?;
    serde_json::from_value(json).map_err(unreadable)
}

fn fill(json: &mut Value, parameters: &Parameters<'_>) -> Result<(), String> {
    match json {
        Value::String(text) => *text = put_in(text, parameters)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, parameters))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, parameters))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Parameters only: whatever else stands between braces is somebody else's, and a value is text that is not looked through again.
fn put_in(text: &str, parameters: &Parameters<'_>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("{{") {
        filled.push_str(before);
        // Its end is looked for where a parameter begins, and no text is gone over twice.
        let begins = tail.trim_start().strip_prefix("parameters.");
        rest = if let Some((name, after)) = begins.and_then(|name| name.split_once("}}")) {
            let name = name.trim_end();
            let unknown = || format!("{{{{ parameters.{name} }}}} is not declared: add {name} to {}", parameters.declared_in);
            let value = parameters.by_name.get(name).ok_or_else(unknown)?;
            let left = parameters.room.get().checked_sub(value.len()).ok_or_else(|| {
                format!(
                    "{{{{ parameters.{name} }}}}: parameters add more than {ROOM} bytes to checks and metrics: use fewer, or shorter values"
                )
            })?;
            parameters.room.set(left);
            filled.push_str(value);
            after
        } else if begins.is_some() {
            filled.push_str("{{");
            filled.push_str(tail);
            return Ok(filled);
        } else {
            filled.push_str("{{");
            tail
        };
    }
    filled.push_str(rest);
    Ok(filled)
}

#[derive(Clone, Debug, PartialEq)]
pub enum TemplateSeen {
    There(Box<GateTemplateSpec>),
    Absent,
    /// It can't be read, and why.
    Unknown(String),
}

#[cfg(test)]
mod tests;
