//! What can be decided.

use bluegreen_api::{BlueGreenRolloutStatus, Color};
use jiff::Timestamp;
use std::fmt;

/// Exactly one of: write this status, carry out these effects in their order, or wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Record(Box<BlueGreenRolloutStatus>),
    /// Protection first. A refused effect doesn't hold back those on other objects.
    Act(Vec<Effect>),
    Wait {
        until: Option<Timestamp>,
        why: Why,
    },
}

/// Why there is nothing to do now, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why(pub String);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of its Services: what each one is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Active,
    Preview,
}

impl Role {
    /// Those that users reach first.
    pub const ALL: [Self; 2] = [Self::Active, Self::Preview];

    /// Users reach the live side through it.
    pub const fn is_protected(self) -> bool {
        matches!(self, Self::Active)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Preview => "preview",
        }
    }
}

/// An object that an effect writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    Deployment(Color),
    Service(Role),
    Revision(String),
}

/// A part of an object that is written, and refused, by itself: a refusal of one part says nothing about the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All that the operator asks of the object; of a Service that is there, where it leads, with its node ports.
    Whole,
    /// Of a Service, where it leads, and nothing that could be refused for another reason.
    Bare,
    /// Of a Service, its owner and the operator's own labels.
    Marks,
    /// Of a Service that leads where it is to lead, the node ports that are asked for.
    NodePorts,
    /// Of a Service or a Deployment, what `spec` asks of it besides.
    Settings,
    /// Fields that an earlier version of the operator owns in the object.
    Leftovers,
    /// The mark of this withdrawal, and nothing else.
    Fence(String),
}

/// A change to one object. Each is idempotent and guarded: it is refused when the object isn't the one that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub change: Change,
    /// What must still hold of the object.
    pub guard: Guard,
    /// Why, in a few words, for the log.
    pub why: &'static str,
}

impl Effect {
    pub fn object(&self) -> Object {
        match &self.change {
            Change::WriteRevision { hash, .. }
            | Change::RestoreRevision { hash, .. }
            | Change::DeleteRevision { hash }
            | Change::AdoptRevision { hash } => Object::Revision(hash.clone()),
            Change::WriteDeployment { color, .. } | Change::Scale { color, .. } | Change::SettleDeployment { color } => {
                Object::Deployment(*color)
            }
            Change::LeadService { role, .. } | Change::SettleService { role, .. } | Change::ReleaseService { role } => {
                Object::Service(*role)
            }
            Change::Fence { object, .. } => object.clone(),
        }
    }

    pub fn part(&self) -> Part {
        match &self.change {
            Change::Fence { epoch, .. } => Part::Fence(epoch.clone()),
            Change::LeadService { extent: Extent::Bare, .. } => Part::Bare,
            Change::LeadService { extent: Extent::NodePorts, .. } => Part::NodePorts,
            Change::SettleService { marks_only: true, .. } => Part::Marks,
            Change::SettleService { .. } | Change::SettleDeployment { .. } => Part::Settings,
            Change::ReleaseService { .. } => Part::Leftovers,
            _ => Part::Whole,
        }
    }

    /// The object, and what of it is written.
    pub fn place(&self) -> (Object, Part) {
        (self.object(), self.part())
    }
}

/// What must hold of the object when the effect reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// There is no such object.
    Absent,
    /// It is still at this resourceVersion.
    ResourceVersion(String),
    /// Nothing: the effect is the same whoever does it and whenever.
    None,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Create the ControllerRevision that holds the revision of `spec` as rendered now, by [`crate::render::controller_revision`].
    WriteRevision {
        hash: String,
        number: i64,
    },
    /// Write a lost ControllerRevision again from the live Deployment of this color.
    RestoreRevision {
        hash: String,
        number: i64,
        color: Color,
    },
    DeleteRevision {
        hash: String,
    },
    /// Become the owner of an orphan.
    AdoptRevision {
        hash: String,
    },
    /// The Deployment as its ControllerRevision holds it, created if there is none.
    WriteDeployment {
        color: Color,
        revision: String,
        replicas: i32,
        manner: Manner,
    },
    /// Only the number of replicas.
    Scale {
        color: Color,
        replicas: i32,
    },
    /// The labels and annotations that are asked for beside the operator's own.
    SettleDeployment {
        color: Color,
    },
    /// Selector and ports of a Service, together; the whole Service where it is missing.
    LeadService {
        role: Role,
        target: Target,
        extent: Extent,
    },
    /// What else is asked of a Service that is there: its owner, labels, annotations, type and other fields.
    SettleService {
        role: Role,
        /// Only its owner and the operator's own labels.
        marks_only: bool,
    },
    /// Give up the fields of a Service that server-side applies of an earlier version of the operator own. None of them changes.
    ReleaseService {
        role: Role,
    },
    /// Raise the epoch of an object, so that a writer who still holds a withdrawn intention is refused.
    Fence {
        object: Object,
        epoch: String,
    },
}

/// How a Deployment that is there is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// As a new Deployment would be: nothing stays of the template that was there before. The marker says in which role the color runs
    /// its revision from now on.
    Arrival(String),
    /// As [`Manner::Arrival`], of a side that runs already.
    Whole,
    /// By server-side apply: what others added beside our fields stays.
    Apply,
}

/// How much of what is asked of a Service is written with its selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// With the node ports that are asked for, and with ports that others added; a Service that is created gets its settings too.
    Whole,
    /// Only the revision's ports, each with the node port that the Service has for it.
    Bare,
    /// As [`Extent::Whole`], for a Service that leads there already.
    NodePorts,
}

/// What a Service selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub color: Color,
    /// The revision; or [`Target::NOTHING`], which no pod has.
    pub revision: String,
    pub ports: Vec<bluegreen_api::ServicePort>,
}

impl Target {
    /// A revision that no pod has: the Service exists and selects nothing.
    pub const NOTHING: &'static str = "none";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_its_own_words() {
        assert_eq!(Why("the candidate is verified".into()).to_string(), "the candidate is verified");
    }
}
