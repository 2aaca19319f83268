//! The end of a phase's work: on to another phase, or a stay with what it waits for.

use crate::observed::trouble::Trouble;
use jiff::Timestamp;

/// What a phase comes to: another phase to run at once, or a stay with what it waits for.
pub(crate) enum Step {
    Again,
    Stay(Stay),
}

/// Nothing more to decide until something changes or a time comes.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    /// When it is looked at again, if nothing happens before.
    pub until: Option<Timestamp>,
    /// When the wait ends, where that is a constant: a time by the clock of the phase, which moves with no pod and no reading.
    pub ends: Option<Timestamp>,
    pub reason: &'static str,
    pub message: String,
    pub kind: StayKind,
    /// What keeps pods from getting ready, where the message says that.
    pub trouble: Option<Box<Trouble>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StayKind {
    /// What `spec` asks for serves.
    Ready,
    /// Under way.
    Working,
    /// Somebody must do something.
    Stalled,
}

impl Stay {
    pub(crate) fn working(reason: &'static str, message: impl Into<String>) -> Self {
        Self { until: None, ends: None, reason, message: message.into(), kind: StayKind::Working, trouble: None }
    }

    pub(crate) fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: StayKind::Stalled, ..Self::working(reason, message) }
    }

    pub(crate) fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: StayKind::Ready, ..Self::working(reason, message) }
    }

    /// The message says what keeps these pods from getting ready.
    pub(crate) fn with(mut self, trouble: Option<&Trouble>) -> Self {
        self.trouble = trouble.cloned().map(Box::new);
        self
    }

    /// The wait is over by the clock of the phase.
    pub(crate) fn ends(mut self, at: Option<Timestamp>) -> Self {
        self.ends = [self.ends, at].into_iter().flatten().min();
        self.until(at)
    }

    /// It is looked at again then: a time that moves with pods or their endpoints, or that ends something else.
    pub(crate) fn until(mut self, until: Option<Timestamp>) -> Self {
        self.until = [self.until, until].into_iter().flatten().min();
        self
    }
}

impl From<Stay> for Step {
    fn from(stay: Stay) -> Self {
        Self::Stay(stay)
    }
}
