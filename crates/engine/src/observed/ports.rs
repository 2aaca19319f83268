//! The ports of a revision by name, and the pods that have them: a Service leads to no port that a pod doesn't name.

use super::{ColorSeen, PodSeen};
use bluegreen_api::{Protocol, Side};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A container port that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
}

impl NamedPort {
    pub fn tcp(name: &str, number: u16) -> Self {
        Self { name: name.to_owned(), protocol: Protocol::TCP, number }
    }
}

/// The number of a pod's port, as the EndpointSlice controller finds it: the first of this name and protocol.
pub fn number(pod: &PodSeen, name: &str, protocol: Protocol) -> Option<u16> {
    pod.ports.iter().find(|port| port.name == name && port.protocol == protocol).map(|port| port.number)
}

/// The first named `targetPort` of a side that the pod doesn't have. A number is taken as it is.
fn lacks<'s>(pod: &PodSeen, side: &'s Side) -> Option<(&'s str, Protocol)> {
    let mut named = side.ports.iter().filter_map(|port| match &port.target_port {
        Some(IntOrString::String(name)) => Some((name.as_str(), port.protocol())),
        Some(IntOrString::Int(_)) | None => None,
    });
    named.find(|(name, protocol)| number(pod, name, *protocol).is_none())
}

fn pods<'c>(seen: &'c ColorSeen, side: &Side) -> impl Iterator<Item = &'c PodSeen> {
    seen.pods.iter().filter(move |pod| pod.revision == side.revision && !pod.deleting)
}

/// Ready pods that a Service leads to by each of the side's ports.
pub fn reachable_pods(seen: &ColorSeen, side: &Side) -> i32 {
    let count = pods(seen, side).filter(|pod| pod.ready && lacks(pod, side).is_none()).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The pod, the first by its name, that lacks a port of the side, in a sentence that names both.
pub fn lacking(seen: &ColorSeen, side: &Side) -> Option<String> {
    let lacking = pods(seen, side).filter_map(|pod| Some((pod, lacks(pod, side)?)));
    let (pod, (port, protocol)) = lacking.min_by(|(a, _), (b, _)| a.name.cmp(&b.name))?;
    let protocol = if protocol == Protocol::TCP { String::new() } else { format!(" ({})", protocol.as_str()) };
    Some(format!("pod {} has no container port named {port}{protocol}, which spec.service.ports names as targetPort", pod.name))
}

/// The pods of the side lack a port as we deployed them: no further pod will have it. What somebody edits is repaired first.
pub fn never(seen: &ColorSeen, side: &Side) -> Option<String> {
    let deployment = seen.deployment.as_ref()?;
    let ours = deployment.applied_generation.or(side.generation) == Some(deployment.generation);
    let rolled_out = deployment.observed_generation >= deployment.generation && deployment.total == deployment.updated;
    (deployment.revision == side.revision && ours && rolled_out).then(|| lacking(seen, side))?
}
