//! The pods that a check asks, and why there are none.

use super::{Observed, PodSeen, ports, progress::serving_pods};
use bluegreen_api::{Protocol, Side};
use bluegreen_gates::{
    ask::HttpTarget,
    check::{CheckKind, CheckPlan},
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Where the pods are asked: at the port that is named, else at that of the Service.
pub fn targets(seen: &Observed, side: &Side, port: Option<&IntOrString>) -> Vec<HttpTarget> {
    let Some(port) = port_of(side, port) else { return vec![] };
    ready(seen, side).filter_map(|pod| target(pod, &port)).collect()
}

/// Why a check asks nobody although pods are ready: time alone doesn't change it.
pub fn unasked(seen: &Observed, side: &Side, plan: &CheckPlan) -> Option<String> {
    let CheckKind::Pods { port, .. } = &plan.kind else { return None };
    let none = ready(seen, side).next().is_some() && targets(seen, side, port.as_ref()).is_empty();
    let port = port_of(side, port.as_ref()).filter(|_| none)?;
    Some(match port {
        IntOrString::String(name) => format!("no ready pod has a port named {name}: the check asks nobody"),
        IntOrString::Int(number) => format!("no ready pod has an address and a port {number}: the check asks nobody"),
    })
}

fn port_of(side: &Side, port: Option<&IntOrString>) -> Option<IntOrString> {
    let of_service = || side.ports.first().map(|port| port.target_port.clone().unwrap_or(IntOrString::Int(port.port)));
    port.cloned().or_else(of_service)
}

fn ready<'a>(seen: &'a Observed, side: &'a Side) -> impl Iterator<Item = &'a PodSeen> {
    serving_pods(seen.color(side.color), &side.revision)
}

fn target(pod: &PodSeen, port: &IntOrString) -> Option<HttpTarget> {
    let port = match port {
        IntOrString::Int(number) => u16::try_from(*number).ok()?,
        IntOrString::String(name) => ports::number(pod, name, Protocol::TCP)?,
    };
    Some(HttpTarget { pod: pod.name.clone(), ip: pod.ip.clone()?, port })
}
