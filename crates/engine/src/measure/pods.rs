//! Pods whose events are to be read.

use crate::observed::{Observed, laggards};
use bluegreen_api::Color;

/// Of each side, the pod that is told to be in the way, where its status doesn't tell why and it is time to read its events.
pub fn puzzling_pods(seen: &Observed) -> Vec<(Color, String)> {
    if seen.deleting {
        return vec![];
    }
    let status = &seen.status;
    let sides = [&status.active, &status.standby, &status.preview].into_iter().flatten();
    sides.filter_map(|side| Some((side.color, laggards::puzzling(seen.color(side.color), &side.revision, seen.now)?.to_owned()))).collect()
}
