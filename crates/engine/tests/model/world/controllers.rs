//! The cluster's own controllers, and pods.

use super::{COLORS, Deployment, Pod, Service, Told, World, index};
use std::sync::Arc;

impl World {
    fn change_pods(&mut self, change: impl FnOnce(&mut Vec<Pod>)) {
        self.before.pods = self.remembers_before().then(|| self.pods.clone());
        change(&mut self.pods);
    }

    pub(super) fn turn(&mut self, name: u32, ready: bool) {
        let now = self.now;
        if let Some(pod) = self.pods.iter().find(|pod| pod.name == name) {
            let (color, image) = (pod.color, self.setup.image_name(&pod.revision));
            self.note(|| format!("a {color} pod of {image} becomes {}", if ready { "ready" } else { "unready" }));
        }
        self.change_pods(|pods| {
            if let Some(pod) = pods.iter_mut().find(|pod| pod.name == name) {
                (pod.ready, pod.ready_changed) = (ready, Some(now));
            }
        });
    }

    pub(super) fn break_image(&mut self, image: usize) {
        let name = self.setup.images[image];
        self.note(|| format!("{name} turns out to be bad: none of its pods is ready any more"));
        self.broken |= 1 << image;
        let (now, hash) = (self.now, self.setup.hash(image));
        self.change_pods(|pods| {
            for pod in pods.iter_mut().filter(|pod| *pod.revision == *hash && pod.ready) {
                (pod.ready, pod.ready_changed) = (false, Some(now));
            }
        });
    }

    pub(super) fn controller_has_work(&self, color: usize) -> bool {
        match &self.deployments[color] {
            Some(deployment) => self.pod_work(color, deployment).is_some() || self.told(color, deployment) != deployment.told,
            None => self.pods.iter().any(|pod| index(pod.color) == color),
        }
    }

    /// The Deployment controller: one pod made or removed, and what it tells brought up to date.
    pub(super) fn control(&mut self, color: usize) {
        let Some(deployment) = self.deployments[color].clone() else {
            self.note(|| format!("the pods of the deleted {} Deployment are gone", COLORS[color]));
            self.change_pods(|pods| pods.retain(|pod| index(pod.color) != color));
            return;
        };
        match self.pod_work(color, &deployment) {
            Some(PodWork::Make) => {
                self.pods_made += 1;
                let (name, created) = (self.pods_made, self.now);
                let image = self.setup.image_name(&deployment.revision);
                self.note(|| format!("the Deployment controller makes a {} pod of {image}", COLORS[color]));
                let (revision, edited) = (deployment.revision.clone(), deployment.edited);
                self.change_pods(|pods| {
                    pods.push(Pod { name, color: COLORS[color], revision, edited, created, ready: false, ready_changed: None });
                });
            }
            Some(PodWork::Remove(name)) => {
                self.note(|| format!("the Deployment controller removes a {} pod", COLORS[color]));
                self.change_pods(|pods| pods.retain(|pod| pod.name != name));
            }
            None => self.note(|| format!("the Deployment controller tells of {}", COLORS[color])),
        }
        let told = self.told(color, &deployment);
        if told != deployment.told {
            let version = self.next_version();
            self.put_deployment(color, Deployment { version, by: 0, told, ..(*deployment).clone() });
        }
    }

    fn pod_work(&self, color: usize, deployment: &Deployment) -> Option<PodWork> {
        let pods = || self.pods.iter().filter(move |pod| index(pod.color) == color);
        let own = || pods().filter(|pod| pod.is_of(deployment));
        let wanted = usize::try_from(deployment.replicas).unwrap_or(0);
        if own().count() > wanted {
            let spare = own().find(|pod| !pod.ready).or_else(|| own().next_back());
            return spare.map(|pod| PodWork::Remove(pod.name));
        }
        // One more than asked for at a time; an old one goes when a new one serves, or when it doesn't serve itself.
        let old = pods().filter(|pod| !pod.is_of(deployment)).min_by_key(|pod| pod.ready);
        let serving = pods().filter(|pod| pod.ready).count();
        match old {
            Some(old) if wanted == 0 || !old.ready || serving > wanted => Some(PodWork::Remove(old.name)),
            _ if own().count() < wanted && pods().count() <= wanted => Some(PodWork::Make),
            _ => None,
        }
    }

    fn told(&self, color: usize, deployment: &Deployment) -> Told {
        let count = |of: &dyn Fn(&Pod) -> bool| {
            i32::try_from(self.pods.iter().filter(|pod| index(pod.color) == color && of(pod)).count()).unwrap_or(i32::MAX)
        };
        Told {
            observed: deployment.generation,
            total: count(&|_| true),
            updated: count(&|pod| pod.is_of(deployment)),
            ready: count(&|pod| pod.ready),
        }
    }

    pub(super) fn wanted_endpoints(&self) -> Vec<u32> {
        let selected = self.services[0].as_ref().and_then(|service| service.selects.clone());
        let matches = |pod: &&Pod| selected.as_ref().is_some_and(|(color, revision)| pod.color == *color && pod.revision == *revision);
        self.pods.iter().filter(|pod| pod.ready).filter(matches).map(|pod| pod.name).collect()
    }

    pub(super) fn put_deployment(&mut self, color: usize, deployment: Deployment) {
        let before = self.deployments[color].replace(Arc::new(deployment));
        self.before.deployments[color] = before.filter(|_| self.remembers_before());
    }

    pub(super) fn put_service(&mut self, role: usize, service: Service) {
        let before = self.services[role].replace(Arc::new(service));
        if role == 0 {
            self.before.active = before.filter(|_| self.remembers_before());
        }
    }
}

enum PodWork {
    Make,
    Remove(u32),
}
