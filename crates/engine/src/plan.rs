//! What is to be decided by: what `spec` asks for, and the revision that it comes to among those that are stored.

use crate::{
    asked::{Asked, Content, Settings},
    observed::Observed,
    revision,
};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_gates::{gates::GateDefinition, invalid::Invalid, stage::Stage};

#[derive(Debug)]
pub struct Plan<'a> {
    pub asked: &'a Asked,
    pub settings: &'a Settings,
    pub wanted: Option<Wanted<'a>>,
}

/// The revision that `spec` asks for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The short hash; that of the stored revision with the same content if there is one.
    pub hash: String,
    /// What `status.collisionCount` must be for this hash.
    pub collision_count: i64,
    pub content: &'a Content,
}

impl<'a> Plan<'a> {
    pub fn of(seen: &'a Observed) -> Self {
        let asked = seen.asked.as_ref();
        Self { asked, settings: &asked.settings, wanted: wanted(seen) }
    }

    /// The gates of a stage, for the side that is judged at it while the status is this. Asked at each step of a decision: one that
    /// begins without a status may come to a candidate.
    pub fn gates(&self, stage: Stage, status: &BlueGreenRolloutStatus) -> Result<&'a [GateDefinition], &'a Invalid> {
        self.asked.gates(stage, stage.is_after_the_switch() || status.preview.is_some())
    }

    /// `spec` asks for this revision.
    pub fn wants(&self, revision: &str) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.hash == revision)
    }
}

/// The revision that `spec` asks for, if it can be carried out.
pub(crate) fn wanted(seen: &Observed) -> Option<Wanted<'_>> {
    let content = seen.asked.content.as_ref().ok()?;
    let same =
        |digest: &String| seen.revisions.iter().find(|revision| revision.digest == *digest || revision::is_restored(revision, digest));
    let (hash, collision_count) = match same(&content.digest) {
        Some(revision) => (revision.hash.clone(), seen.status.collision_count),
        None => revision::free_hash(&content.digest, seen.status.collision_count, &seen.revisions),
    };
    Some(Wanted { hash, collision_count, content })
}
