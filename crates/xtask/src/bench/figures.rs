//! Counting requests, CPU time and memory of one process.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use bluegreen_cluster::audit::Request;

/// Requests of the operator by verb and resource.
#[derive(Debug, Default)]
pub(super) struct Requests {
    counted: BTreeMap<(String, String), usize>,
    /// Of leader election, and watches that ended: not part of a rollout's cost.
    pub(super) apart: usize,
}

impl Requests {
    pub(super) fn of(requests: &[Request], user_agent: &str) -> Self {
        let mut ours = Self::default();
        for request in requests.iter().filter(|request| request.user_agent.starts_with(user_agent)) {
            if request.resource == "leases" || request.verb == "watch" {
                ours.apart += 1;
            } else {
                *ours.counted.entry((request.resource.clone(), request.verb.clone())).or_default() += 1;
            }
        }
        ours
    }

    pub(super) fn all(&self) -> usize {
        self.counted.values().sum()
    }

    pub(super) fn writes(&self) -> usize {
        self.counted.iter().filter(|((_, verb), _)| !matches!(verb.as_str(), "get" | "list")).map(|(_, count)| count).sum()
    }

    /// A line for each verb and resource, as an average of so many rollouts.
    pub(super) fn lines(&self, rollouts: usize) -> Vec<String> {
        let ceiling = |resource: &str| {
            BUDGET.iter().find(|(name, _)| *name == resource).map_or(String::new(), |(_, most)| format!("  (budget {most})"))
        };
        let line = |((resource, verb), count): (&(String, String), &usize)| {
            let average = *count as f64 / rollouts as f64;
            format!("  {resource:<28} {verb:<8} {average:>6.2}{}", ceiling(resource))
        };
        self.counted.iter().map(line).collect()
    }
}

/// Milliseconds of CPU a rollout, on the machine that the budgets were set on.
pub(super) const CPU_BUDGET: f64 = 6.0;

/// Requests a rollout by resource.
const BUDGET: &[(&str, usize)] =
    &[("bluegreenrollouts/status", 4), ("controllerrevisions", 1), ("deployments", 2), ("services", 2), ("events", 3)];

/// Processor time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    /// CPU time of a process so far.
    pub(super) fn of(pid: i32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is not there any more"))?;
        // The program's name stands in brackets and may hold anything. User and system time are the 14th and 15th field.
        let fields: Vec<_> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
        let ticks = |at: usize| fields.get(at).and_then(|field: &&str| field.parse::<u64>().ok()).unwrap_or_default();
        // A tick is a hundredth of a second on every Linux that this runs on.
        Ok(Self { user: Duration::from_millis(ticks(11) * 10), system: Duration::from_millis(ticks(12) * 10) })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { user: self.user.saturating_sub(before.user), system: self.system.saturating_sub(before.system) }
    }

    /// Milliseconds for each of so many.
    pub(super) fn each(self, count: usize) -> f64 {
        (self.user + self.system).as_secs_f64() * 1000.0 / count as f64
    }

    pub(super) fn text(self, count: usize) -> String {
        let each = |time: Duration| time.as_secs_f64() * 1000.0 / count as f64;
        format!("{:.2} ms a rollout ({:.2} in the program, {:.2} in the kernel)", self.each(count), each(self.user), each(self.system))
    }
}

/// Resident memory of a process now, and the most it ever had, in MiB.
pub(super) fn memory(pid: i32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is not there any more"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Ok((kib("VmRSS:").unwrap_or_default() / 1024.0, kib("VmHWM:").unwrap_or_default() / 1024.0))
}

/// The smallest value that this share of all doesn't exceed, in milliseconds.
pub(super) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| value.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str, user_agent: &str) -> Request {
        Request {
            verb: verb.into(),
            resource: resource.into(),
            namespace: String::new(),
            name: String::new(),
            user_agent: user_agent.into(),
            code: 200,
            received: String::new(),
            answered: String::new(),
        }
    }

    #[test]
    fn only_the_operators_requests_count_and_leases_stand_apart() {
        let all = [
            request("patch", "services", "bluegreen-operator/1"),
            request("get", "deployments", "bluegreen-operator/1"),
            request("update", "leases", "bluegreen-operator/1"),
            request("watch", "pods", "bluegreen-operator/1"),
            request("patch", "services", "kubectl/1"),
        ];
        let counted = Requests::of(&all, "bluegreen-operator");
        assert_eq!((counted.all(), counted.writes(), counted.apart), (2, 1, 2));
        assert_eq!(counted.lines(1)[1], "  services                     patch      1.00  (budget 2)");
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert!((quantile(&values, 0.5) - 50.0).abs() < 0.01 && (quantile(&values, 0.99) - 99.0).abs() < 0.01);
        assert!(quantile(&[], 0.5).abs() < 0.01);
    }
}
