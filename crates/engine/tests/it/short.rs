//! Whether a side is short of pods, and whose doing that is.

use crate::{
    edits::{deployment, leave_ready},
    world::World,
};
use bluegreen_engine::observed::{
    ColorSeen, PodTrouble,
    short::{Short, half, short, three_quarters},
};
use serde_json::json;

/// A color of ten pods of which so many are ready; those after them, as many as it says, find no room.
fn ten(ready: usize, pending: usize) -> ColorSeen {
    let mut color = World::live(json!({"replicas": 10})).seen().blue;
    leave_ready(&mut color, ready);
    for pod in color.pods.iter_mut().skip(ready).take(pending) {
        pod.trouble = Some(PodTrouble { reason: "Unschedulable".into(), message: String::new(), container: None });
    }
    color
}

fn of(color: &ColorSeen) -> Option<Short> {
    short(color, &color.pods.first().unwrap().revision, 10)
}

#[test]
fn a_side_is_short_with_fewer_than_three_quarters() {
    assert_eq!([0, 1, 2, 3, 4, 5, 10].map(three_quarters), [0, 1, 2, 3, 3, 4, 8]);
    assert_eq!([0, 1, 2, 3, 10].map(half), [0, 1, 1, 2, 5]);
    assert_eq!(of(&ten(10, 0)), None);
    assert_eq!(of(&ten(8, 0)), None, "two of ten may be missing");
    assert_eq!(of(&ten(7, 0)), Some(Short::OwnDoing));
    let mut young = ten(10, 0);
    deployment(&mut young).available = 7;
    assert_eq!(of(&young), Some(Short::OwnDoing), "ready, and not long enough");
    assert_eq!(short(&ten(10, 0), "other", 10), Some(Short::OwnDoing), "they are of another revision");
    assert_eq!(short(&ten(0, 0), "other", 0), None, "none are asked for");
}

#[test]
fn pods_without_room_are_no_fault_of_the_version() {
    assert_eq!(of(&ten(5, 5)), Some(Short::NoRoom));
    assert_eq!(of(&ten(5, 3)), Some(Short::NoRoom), "with those three it would be enough");
    assert_eq!(of(&ten(5, 2)), Some(Short::OwnDoing), "without the two that crash it is too few either way");
    let mut refused = ten(5, 0);
    refused.pods.truncate(5);
    assert_eq!(of(&refused), Some(Short::OwnDoing), "they are about to be made");
    deployment(&mut refused).replica_failure = Some("exceeded quota".into());
    assert_eq!(of(&refused), Some(Short::NoRoom));
    refused.pods.iter_mut().take(3).for_each(|pod| pod.ready = false);
    assert_eq!(of(&refused), Some(Short::OwnDoing), "three of those that are there are not ready");
    refused.deployment = None;
    assert_eq!(of(&refused), Some(Short::OwnDoing), "nobody says that there is no room");
}
