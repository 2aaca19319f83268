//! What every record carries along, whatever its phase: sizes, images, generations, times.

use super::Draft;
use crate::{
    clock,
    observed::{DeploymentSeen, arrival::arrived},
};
use bluegreen_api::{Phase, names};

impl Draft<'_> {
    /// Nothing of what was worked out is to be recorded.
    pub(crate) fn as_recorded(&mut self) {
        self.status = self.seen.status.clone();
    }

    /// The generation of `spec` that this status answers to.
    pub(crate) const fn answers(&mut self) {
        self.status.observed_generation = self.seen.generation;
    }

    pub(crate) const fn paused_by_order(&mut self, paused: bool) {
        self.status.paused_by_order = paused;
    }

    /// Clocks stand still while held, and don't count the time in which nobody looked.
    pub(crate) fn keep_time(&mut self, held: bool) {
        let now = self.now();
        let Some(clock) = self.status.clock.as_mut() else { return };
        if let Some(absence) = self.seen.absence {
            clock::account(clock, absence);
        }
        clock::hold(clock, held, now);
    }

    /// A side that was rebuilt while its revision was missing learns its image once that is restored.
    pub(crate) fn learn_images(&mut self) {
        let status = &mut self.status;
        for side in
            [&mut status.active, &mut status.standby, &mut status.preview].into_iter().flatten().filter(|side| side.image.is_empty())
        {
            let revision = self.seen.revisions.iter().find(|revision| revision.hash == side.revision);
            side.image = revision.map(|revision| revision.image.clone()).unwrap_or_default();
        }
    }

    /// What the latest write to each Deployment returned, for the next operator process.
    pub(crate) fn remember_generations(&mut self) {
        let seen = self.seen;
        let status = self.status.clone();
        for side in [&mut self.status.active, &mut self.status.standby, &mut self.status.preview].into_iter().flatten() {
            let of_the_side = |deployment: &&DeploymentSeen| deployment.revision == side.revision && arrived(&status, side, deployment);
            let deployment = seen.color(side.color).deployment.as_ref().filter(of_the_side);
            side.generation = deployment.and_then(|deployment| deployment.applied_generation).or(side.generation);
        }
    }

    /// The active side follows `replicas`, in every phase; the standby only upwards, and only where there is room for the active side; the
    /// candidate as its phase asks.
    pub(crate) fn follow_replicas(&mut self) {
        let (settings, now) = (self.settings(), self.now());
        let ready = self.status.active.as_ref().map_or(0, |active| self.ready_pods(active));
        let has_a_way_back = self.status.standby.is_some();
        let replicas = settings.replicas;
        let phase = self.status.phase;
        let candidate = self.status.preview.is_some();
        self.status.waiting_replicas = self.status.waiting_replicas.filter(|waiting| candidate && *waiting == replicas);
        let waits = self.status.waiting_replicas.is_some();
        let switching = phase == Some(Phase::Promoting) || (phase == Some(Phase::RollingBack) && self.status.standby.is_some());
        if let Some(active) = self.status.active.as_mut() {
            let before = active.replicas;
            active.replicas = if waits || switching { active.replicas.max(replicas) } else { replicas };
            let starts = has_a_way_back && before == 0;
            active.starting_since =
                active.starting_since.or(starts.then_some(now)).filter(|_| has_a_way_back && active.replicas > 0 && ready == 0);
        }
        let all_there = self.status.active.as_ref().is_some_and(|active| self.fully_available(active));
        let active = self.status.active.as_ref().map_or(0, |active| active.replicas);
        if let Some(standby) = self.status.standby.as_mut().filter(|_| all_there) {
            standby.replicas = standby.replicas.max(replicas);
        }
        if let Some(preview) = self.status.preview.as_mut() {
            preview.replicas = match phase {
                Some(Phase::Promoting) => preview.replicas.max(settings.full_size(active)),
                _ if replicas == 0 => 0,
                Some(Phase::ScalingUp) => settings.full_size(active),
                _ => settings.preview_size(active),
            };
        }
    }

    /// The scale subresource shows the pods of the active side; they are told when they have settled, not for their own sake.
    pub(crate) fn count_pods(&mut self) {
        let Some(active) = self.status.active.clone() else { return };
        self.status.selector = format!("{}={},{}={}", names::ROLLOUT_LABEL, self.seen.name, names::COLOR_LABEL, active.color);
        if self.fully_available(&active)
            && let Some(deployment) = self.color_of(&active).deployment.as_ref()
        {
            self.status.replicas = deployment.total;
        }
    }
}
