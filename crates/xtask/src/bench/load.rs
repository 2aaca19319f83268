//! The rollouts, and the changes that are made to them.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::Cluster;
use serde_json::{Value, json};

use super::NAME;

pub(super) fn name(number: usize) -> String {
    format!("shop-{number}")
}

/// An image that nothing had before.
pub(super) fn image(version: u32) -> String {
    format!("registry.example/shop:{version}.0.0")
}

/// So many of all rollouts, spread evenly.
pub(super) fn sample(of: usize, all: usize) -> Vec<usize> {
    let of = of.min(all);
    (0..of).map(|number| number * all / of).collect()
}

fn list(numbers: &[usize], image: &str) -> String {
    let one = |number: &usize| -> Value {
        json!({
            "apiVersion": "bluegreen.dev/v1alpha1",
            "kind": "BlueGreenRollout",
            "metadata": {"name": name(*number), "namespace": NAME},
            "spec": {
                "image": image,
                "replicas": 2,
                "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
                "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
                // Waiting costs nothing that is measured.
                "scaleDown": {"drain": "1s", "after": "1s"},
            },
        })
    };
    let items: Vec<_> = numbers.iter().map(one).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

pub(super) fn create(cluster: &Cluster, numbers: &[usize], image: &str) -> Result<()> {
    cluster.apply(&list(numbers, image))
}

pub(super) fn patch(cluster: &Cluster, number: usize, image: &str) -> Result<()> {
    kubectl(cluster, &["patch", "bgr", &name(number), "--namespace", NAME, "--type=merge", "--patch", &change(image)])
}

/// By one kubectl for all of them: starting a thousand would take the processor from what is measured.
pub(super) fn patch_all(cluster: &Cluster, numbers: &[usize], image: &str) -> Result<()> {
    let path = cluster.dir().join("rollouts.json");
    std::fs::write(&path, list(numbers, image)).with_context(|| format!("cannot write {}", path.display()))?;
    kubectl(cluster, &["patch", "--filename", &path.display().to_string(), "--type=merge", "--patch", &change(image)])
}

fn change(image: &str) -> String {
    json!({"spec": {"image": image}}).to_string()
}

pub(super) fn kubectl(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let output = cluster.kubectl(words).stdin(Stdio::null()).output().context("cannot start kubectl")?;
    ensure!(output.status.success(), "`kubectl {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_and_never_more_than_all() {
        assert_eq!(sample(4, 10), [0, 2, 5, 7]);
        assert_eq!(sample(20, 3), [0, 1, 2]);
    }
}
