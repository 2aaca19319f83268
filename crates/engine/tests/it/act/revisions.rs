//! ControllerRevisions: kept, restored, and removed beyond the limit.

use crate::world::Ask;
use crate::{
    decided::is_right,
    edits::{Edit, blue, foreign, green, refused},
    world::World,
};
use bluegreen_api::{Phase, Rejected};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Object},
    observed::{Owner, Refusal},
};
use serde_json::json;

/// And not rendered anew.
#[test]
fn a_lost_revision_is_stored_again_from_what_runs() {
    let mut world = World::live(json!({}));
    world.revisions.clear();
    world.run_for(1);
    assert!(world.log.iter().any(|line| line.contains("ControllerRevision 1 again")), "{}", world.story());
    assert_eq!(world.revisions.len(), 1);
    let attempt = world.status.attempt;
    world.settle();
    assert_eq!((world.phase(), world.status.attempt), (Phase::Healthy, attempt));
}

#[test]
fn revisions_beyond_the_limit_go_and_those_of_a_way_back_stay() {
    let mut world = World::live(json!({"revisionHistoryLimit": 2, "scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..7 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let mut numbers: Vec<_> = world.revisions.values().map(|revision| revision.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [5, 6]);
    world.order("rollback");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:5"));
}

// Found by attack.
#[test]
fn a_restored_revision_is_still_the_one_that_spec_names() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    let first = world.status.active.as_ref().unwrap().revision.clone();
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.revisions.remove(&first);
    world.run_for(5);
    assert!(world.revisions.contains_key(&first));
    world.image("shop:1");
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    assert_eq!(world.status.active.as_ref().unwrap().revision, first, "{}", world.story());
    assert_eq!(world.status.collision_count, 0);
}

#[test]
fn a_revision_keeps_its_number_and_the_next_one_gets_the_next() {
    let mut world = World::live(json!({"scaleDown": {"drain": "0s", "after": "0s"}}));
    for (image, number) in [("shop:2", 2), ("shop:1", 1), ("shop:3", 3), ("shop:2", 2), ("shop:4", 4)] {
        world.image(image);
        world.settle();
        assert_eq!(world.status.active.as_ref().map(|side| side.number), Some(number), "{image}");
    }
    assert_eq!((world.status.revisions, world.status.attempt), (4, 6));
}

#[test]
fn a_revision_is_kept_for_as_long_as_it_may_be_needed() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let seen = world.seen();
    assert_eq!(seen.revisions.len(), 2);
    fn forget(seen: &mut Observed, number: i64) {
        seen.revisions.retain(|revision| revision.number != number);
    }
    is_right(
        &seen,
        &[
            ("as it is", |_| {}, &[]),
            ("no owner", |seen| seen.revisions[0].owner = Owner::Orphan, &["adopt the revision: the ControllerRevision has no owner"]),
            ("lost, and it runs", |seen| forget(seen, 1), &["restore revision 1 from blue: the ControllerRevision was lost"]),
            (
                "lost, and its Deployment edited",
                |seen| {
                    forget(seen, 1);
                    blue(seen).labels_intact = false;
                },
                &[
                    "restore revision 1 from blue: the ControllerRevision was lost",
                    "apply blue ×3: the Deployment has lost its labels or its owner",
                ],
            ),
            ("the candidate's lost", |seen| forget(seen, 2), &["restore revision 2 from green: the ControllerRevision was lost"]),
            (
                "lost, and it runs in the other color",
                |seen| {
                    forget(seen, 2);
                    std::mem::swap(&mut seen.blue.deployment, &mut seen.green.deployment);
                    seen.blue.pods.clear();
                    (blue(seen).owner, green(seen).owner) = (foreign(false), foreign(false));
                },
                &["restore revision 2 from blue: the ControllerRevision was lost"],
            ),
            (
                "lost with its Deployment: spec still has it",
                |seen| {
                    forget(seen, 2);
                    (seen.green.deployment, seen.green.pods) = (None, vec![]);
                },
                &["write revision 2: the revision is not stored yet", "write green ×3 anew: the Deployment is missing"],
            ),
            (
                "lost with its Deployment, and spec has another: that may be there without its label",
                |seen| {
                    forget(seen, 1);
                    (seen.blue.deployment, seen.blue.pods) = (None, vec![]);
                },
                &["restore revision 1 from blue: the ControllerRevision was lost, and its Deployment is not seen"],
            ),
            (
                "and isn't there under its name either: nothing can bring it back",
                |seen| {
                    forget(seen, 1);
                    (seen.blue.deployment, seen.blue.pods) = (None, vec![]);
                    let object = Object::Revision(seen.status.active.as_ref().unwrap().revision.clone());
                    let generation = seen.generation;
                    seen.refusals = vec![Refusal { code: 404, message: "gone".into(), ..refused(object, seen.now, generation) }];
                },
                &[],
            ),
        ],
    );
}

/// And no way back with them.
#[test]
fn the_oldest_revisions_beyond_the_limit_go() {
    let mut world = World::live(json!({"revisionHistoryLimit": 10, "scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..6 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let seen = world.seen();
    let goes = |limit: i32, edit: Edit| {
        let mut seen = seen.clone();
        seen.ask(|spec| spec.revision_history_limit = Some(limit));
        seen.revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        edit(&mut seen);
        let numbers: Vec<_> = seen.revisions.iter().map(|revision| (revision.hash.clone(), revision.number)).collect();
        let mut gone = vec![];
        loop {
            match decide(&seen) {
                Decision::Record(status) => seen.status = *status,
                Decision::Act(effects) => {
                    for effect in effects {
                        let Change::DeleteRevision { hash } = effect.change else { panic!("{effect:?}") };
                        gone.push(numbers.iter().find(|(it, _)| *it == hash).unwrap().1);
                        seen.revisions.retain(|revision| revision.hash != hash);
                    }
                }
                Decision::Wait { .. } => return gone,
            }
        }
    };
    assert_eq!(goes(5, |_| {}), [0; 0]);
    assert_eq!(goes(4, |_| {}), [1]);
    assert_eq!(goes(3, |_| {}), [1, 2]);
    assert_eq!(goes(1, |_| {}), [1, 2, 3], "the former one is the way back");
    assert_eq!(goes(3, |seen| seen.revisions[4].owner = foreign(false)), [2, 3], "what somebody else owns stays");
    fn rejected(seen: &mut Observed) {
        let side = seen.revisions[3].clone();
        seen.status.phase = Some(Phase::Aborted);
        seen.ask(|spec| spec.image = Some(side.image.clone()));
        seen.status.rejected = Some(Rejected {
            revision: side.hash,
            number: side.number,
            attempt: 2,
            image: side.image,
            reason: "Ordered".into(),
            message: "requested by annotation abort".into(),
            at: seen.now,
        });
    }
    assert_eq!(goes(3, rejected), [1, 3], "what was rejected can be tried again");
    fn in_the_middle(seen: &mut Observed) {
        seen.status.phase = Some(Phase::Monitoring);
        seen.ask(|spec| spec.paused = true);
    }
    assert_eq!(goes(1, in_the_middle), [0; 0], "not in the middle of a story");
}
