//! What is decided about what is seen.

use crate::edits::Edit;
use bluegreen_api::{BlueGreenRolloutStatus, Phase};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Extent, Guard, Manner, Target},
};

/// The status that is recorded next, or that which stands.
pub fn next(seen: &Observed, edit: Edit) -> BlueGreenRolloutStatus {
    let mut seen = seen.clone();
    edit(&mut seen);
    match decide(&seen) {
        Decision::Record(status) => *status,
        Decision::Act(_) | Decision::Wait { .. } => seen.status,
    }
}

pub fn phase(seen: &Observed, edit: Edit) -> Phase {
    next(seen, edit).phase.unwrap()
}

/// The status that is recorded once nothing is left to record.
pub fn recorded(mut seen: Observed) -> BlueGreenRolloutStatus {
    for _ in 0..8 {
        match decide(&seen) {
            Decision::Record(status) => seen.status = *status,
            Decision::Act(_) | Decision::Wait { .. } => return seen.status,
        }
    }
    panic!("no end of records");
}

/// What is done about what is seen, once everything is recorded that is to be.
pub fn done(mut seen: Observed) -> Vec<String> {
    for _ in 0..8 {
        match decide(&seen) {
            Decision::Record(status) => seen.status = *status,
            Decision::Act(effects) => return effects.iter().map(|effect| format!("{}: {}", change(effect), effect.why)).collect(),
            Decision::Wait { .. } => return vec![],
        }
    }
    panic!("no end of records");
}

pub fn change(effect: &Effect) -> String {
    let anew = if effect.guard == Guard::Absent { " anew" } else { "" };
    match &effect.change {
        Change::WriteRevision { number, .. } => format!("write revision {number}"),
        Change::RestoreRevision { number, color, .. } => format!("restore revision {number} from {color}"),
        Change::DeleteRevision { .. } => "delete a revision".into(),
        Change::AdoptRevision { .. } => "adopt the revision".into(),
        Change::WriteDeployment { color, replicas, manner: Manner::Apply, .. } => format!("apply {color} ×{replicas}"),
        Change::WriteDeployment { color, replicas, .. } => format!("write {color} ×{replicas}{anew}"),
        Change::Scale { color, replicas } => format!("scale {color} to {replicas}"),
        Change::LeadService { role, target, extent } => {
            let to = if target.revision == Target::NOTHING { "nothing" } else { target.color.as_str() };
            let extent = match extent {
                Extent::Whole => "",
                Extent::Bare => ", barely",
                Extent::NodePorts => ", its node ports",
            };
            format!("{} Service to {to}{anew}{extent}", role.as_str())
        }
        Change::SettleDeployment { color } => format!("settle {color}"),
        Change::SettleService { role, marks_only } => {
            format!("settle {} Service{}", role.as_str(), if *marks_only { ", its marks" } else { "" })
        }
        Change::ReleaseService { role } => format!("release {} Service", role.as_str()),
        Change::Fence { object, .. } => format!("fence {object:?}"),
    }
}

pub fn is_right(seen: &Observed, table: &[(&str, Edit, &[&str])]) {
    for (edit, make, expected) in table {
        let mut seen = seen.clone();
        make(&mut seen);
        assert_eq!(done(seen), *expected, "{edit}");
    }
}
