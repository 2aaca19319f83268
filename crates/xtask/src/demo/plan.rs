//! The first words of the demo: what it is going to do, and how long that takes.

use bluegreen_cluster::{Cluster, Kind, OPERATOR};

use super::Options;
use crate::built::target;

const BRING_UP_FAKE: Step = Step { what: "bring up the cluster with fake nodes", first: 5, later: 5 };
const BRING_UP_NODE: Step =
    Step { what: "bring up the cluster with a real node: kubelet, containerd, kube-proxy, Prometheus", first: 40, later: 10 };
const STORY_WITH_TRAFFIC: Step = Step { what: "release versions of a shop while 200 requests a second come in", first: 90, later: 90 };
const STORY: Step = Step { what: "release versions of a shop", first: 40, later: 40 };

/// Seconds on two cores: for the first time, and once all that it needs was built.
#[derive(Clone, Copy)]
struct Step {
    what: &'static str,
    first: u64,
    later: u64,
}

/// The steps of this run, each with whether this is its first time.
pub(super) struct Plan {
    on: &'static str,
    steps: Vec<(Step, bool)>,
}

impl Plan {
    pub(super) fn of(options: &Options) -> Self {
        let (profile, seconds) = if options.release { ("release", 480) } else { ("debug", 120) };
        let what =
            if options.own_cluster { "compile the operator with cargo" } else { "compile the operator and the load generator with cargo" };
        let compile = (Step { what, first: seconds, later: 2 }, !target().join(profile).join(OPERATOR).is_file());
        if options.own_cluster {
            return Self { on: "on the cluster that KUBECONFIG names", steps: vec![compile, (STORY, false)] };
        }
        let (kind, on, story, bring_up) = if options.fake {
            (Kind::Fake, "on a cluster with fake nodes, brought up for it", STORY, BRING_UP_FAKE)
        } else {
            (Kind::Node, "on a cluster with a real node, brought up for it", STORY_WITH_TRAFFIC, BRING_UP_NODE)
        };
        let to_build = Cluster::time_to_build(kind);
        let kubernetes = Step { what: "compile Kubernetes with Go", first: to_build.as_secs(), later: 0 };
        let first = !to_build.is_zero();
        Self { on, steps: vec![compile, (kubernetes, first), (bring_up, first), (story, false)] }
    }

    pub(super) fn text(&self, cores: usize) -> String {
        let now: u64 = self.steps.iter().map(|(step, first)| if *first { step.first } else { step.later }).sum();
        let later: u64 = self.steps.iter().map(|(step, _)| step.later).sum();
        let again = if now > later { format!(" ({} from the second time on)", about(later)) } else { String::new() };
        let lines = self.steps.iter().filter_map(|(step, first)| {
            let seconds = if *first { step.first } else { step.later };
            let once = if *first && step.first > step.later { ", the first time" } else { "" };
            (seconds > 0).then(|| format!("  {:<8}{}{once}", about(seconds), step.what))
        });
        let lines: Vec<_> = lines.collect();
        format!(
            "This demo shows what the operator does with a good release, a bad one, and one that goes bad after the switch, {}.\n\
             It takes about {}{again}. These are times on two cores; this machine has {cores}.\n\n{}\n",
            self.on,
            about(now),
            lines.join("\n")
        )
    }
}

/// To the minute, and to the second below a minute and a half.
fn about(seconds: u64) -> String {
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", (seconds + 30) / 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(first: bool) -> Plan {
        let kubernetes = Step { what: "compile Kubernetes with Go", first: 480, later: 0 };
        let compile = Step { what: "compile the operator", first: 120, later: 2 };
        Plan { on: "here", steps: vec![(compile, first), (kubernetes, first), (STORY, false)] }
    }

    #[test]
    fn the_first_time_is_longer_and_says_so() {
        let text = plan(true).text(2);
        assert!(text.contains("It takes about 11 min (42 s from the second time on)."), "{text}");
        assert!(text.contains("  8 min   compile Kubernetes with Go, the first time\n"), "{text}");
    }

    #[test]
    fn later_there_is_no_word_of_what_was_built() {
        let text = plan(false).text(8);
        assert!(text.contains("It takes about 42 s. These are times on two cores; this machine has 8."), "{text}");
        assert!(!text.contains("Kubernetes"), "{text}");
    }
}
