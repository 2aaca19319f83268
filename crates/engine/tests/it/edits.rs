//! What is seen, changed by one fact.

use bluegreen_api::Side;
use bluegreen_engine::{
    Observed,
    decision::{Object, Part, Role, Target},
    observed::{ColorSeen, DeploymentSeen, Owner, Refusal, ServiceSeen, labels},
};
use jiff::Timestamp;

pub fn deployment(color: &mut ColorSeen) -> &mut DeploymentSeen {
    there(&mut color.deployment)
}

pub fn refuse(seen: &mut Observed, object: Object, generation: i64) {
    seen.refusals = vec![Refusal { code: 403, message: "denied".into(), ..refused(object, seen.now, generation) }];
}

/// Once, and as a whole.
pub fn refused(object: Object, at: Timestamp, generation: i64) -> Refusal {
    Refusal { object, part: Part::Whole, code: 0, message: "no answer".into(), at, times: 1, denied_since: None, generation }
}

pub fn later(seen: &mut Observed, seconds: i64) {
    seen.now = Timestamp::from_second(seen.now.as_second() + seconds).unwrap();
}

pub type Edit = fn(&mut Observed);

pub fn there<T>(object: &mut Option<T>) -> &mut T {
    match object {
        Some(object) => object,
        None => panic!("it is absent"),
    }
}

pub fn blue(seen: &mut Observed) -> &mut DeploymentSeen {
    there(&mut seen.blue.deployment)
}

pub fn green(seen: &mut Observed) -> &mut DeploymentSeen {
    there(&mut seen.green.deployment)
}

pub fn active(seen: &mut Observed) -> &mut ServiceSeen {
    seen.services.get_mut(&Role::Active).unwrap()
}

pub fn preview(seen: &mut Observed) -> &mut ServiceSeen {
    seen.services.get_mut(&Role::Preview).unwrap()
}

pub fn foreign(adopt: bool) -> Owner {
    Owner::Foreign { who: "somebody".into(), adopt }
}

/// Leaves so many pods of a color ready, and its Deployment tells the same.
pub fn leave_ready(color: &mut ColorSeen, ready: usize) {
    color.pods.iter_mut().enumerate().for_each(|(index, pod)| pod.ready = index < ready);
    let deployment = there(&mut color.deployment);
    deployment.ready = i32::try_from(ready).unwrap();
    deployment.available = deployment.ready;
}

pub fn select(service: &mut ServiceSeen, side: &Side) {
    let target = Target { color: side.color, revision: side.revision.clone(), ports: side.ports.clone() };
    service.selector = labels::selector("shop", &target);
}
